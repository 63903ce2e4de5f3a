// Package population makes synthetic people for a register: names, documents
// and stays that look like a border's, of nobody who lives. The same seed and
// number always make the same person.
package population

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"passage/eesclient/stay"
	"passage/hwsim/register"
)

// state is a nationality with its share of a border's travellers, the form of
// its document numbers (A a letter, 9 a digit) and some of its names.
type state struct {
	code     string
	share    int
	number   string
	visa     bool // Reg. (EU) 2018/1806, annex I
	surnames string
	given    string
}

var states = []state{
	{
		"GBR", 34, "999999999", false, "SMITH JONES TAYLOR BROWN WILLIAMS WILSON JOHNSON DAVIES PATEL ROBINSON WRIGHT THOMPSON EVANS WALKER WHITE ROBERTS GREEN HALL WOOD HARRIS CLARKE JACKSON KHAN LEWIS TURNER MURRAY CAMPBELL FRASER",
		"OLIVER AMELIA GEORGE ISLA ARTHUR AVA NOAH MIA MUHAMMAD IVY LEO LILY HARRY FREYA OSCAR GRACE ARCHIE ELSIE HENRY EVELYN THEODORE POPPY FREDDIE ROSIE JACK CHARLOTTE",
	},
	{
		"USA", 18, "A99999999", false, "SMITH JOHNSON WILLIAMS BROWN JONES GARCIA MILLER DAVIS RODRIGUEZ MARTINEZ HERNANDEZ LOPEZ GONZALEZ WILSON ANDERSON THOMAS TAYLOR MOORE JACKSON MARTIN LEE PEREZ NGUYEN CLARK",
		"LIAM OLIVIA NOAH EMMA JAMES CHARLOTTE ELIJAH AMELIA MATEO SOPHIA WILLIAM MIA LUCAS ISABELLA HENRY AVA ETHAN EVELYN DANIEL LUNA MICHAEL HARPER",
	},
	{
		"CHN", 8, "EA9999999", true, "WANG LI ZHANG LIU CHEN YANG HUANG ZHAO WU ZHOU XU SUN MA ZHU HU GUO HE LIN GAO LUO",
		"WEI FANG NA MIN JING LEI JUN YANG YONG YAN JIE TAO MING CHAO XIUYING HUA PING GANG GUIYING XIN",
	},
	{
		"TUR", 8, "U99999999", true, "YILMAZ KAYA DEMIR CELIK SAHIN YILDIZ YILDIRIM OZTURK AYDIN OZDEMIR ARSLAN DOGAN KILIC ASLAN CETIN KARA KOC KURT OZKAN SIMSEK",
		"MEHMET FATMA MUSTAFA AYSE AHMET EMINE ALI HATICE HUSEYIN ZEYNEP HASAN ELIF IBRAHIM MERYEM YUSUF SERIFE OSMAN SULTAN",
	},
	{
		"IND", 6, "A9999999", true, "KUMAR SINGH SHARMA PATEL GUPTA VERMA REDDY NAIR RAO DAS MEHTA JOSHI IYER SHAH CHOPRA MISHRA BANERJEE MUKHERJEE",
		"AARAV ANANYA VIHAAN DIYA ADITYA SAANVI ARJUN AADHYA SAI KAVYA ROHAN PRIYA AMIT NEHA VIKRAM POOJA RAHUL SUNITA",
	},
	{
		"UKR", 6, "AA999999", false, "MELNYK SHEVCHENKO KOVALENKO BONDARENKO BOIKO TKACHENKO KRAVCHENKO KOVALCHUK KOVAL OLIINYK SHEVCHUK POLISHCHUK LYSENKO SAVCHENKO RUDENKO MARCHENKO",
		"OLEKSANDR OLENA SERHII OKSANA ANDRII NATALIIA IVAN IRYNA MYKOLA TETIANA VOLODYMYR LIUDMYLA DMYTRO MARIIA BOHDAN SOFIIA",
	},
	{
		"BRA", 5, "AA999999", false, "SILVA SANTOS OLIVEIRA SOUZA RODRIGUES FERREIRA ALVES PEREIRA LIMA GOMES COSTA RIBEIRO MARTINS CARVALHO ALMEIDA LOPES SOARES FERNANDES",
		"MIGUEL HELENA ARTHUR ALICE HEITOR LAURA BERNARDO MANUELA DAVI SOPHIA GABRIEL ISABELLA PEDRO VALENTINA LUCAS GIOVANNA",
	},
	{
		"MAR", 4, "AA9999999", true, "ALAOUI IDRISSI BENNANI TAZI BERRADA FASSI CHERKAOUI AMRANI BENJELLOUN LAHLOU EL AMRANI ZIANI MANSOURI NACIRI SAIDI HADDAD",
		"MOHAMED FATIMA AHMED KHADIJA YOUSSEF AICHA HAMZA ZINEB OMAR SALMA MEHDI MERYEM ANAS IMANE AYOUB HAJAR",
	},
	{
		"JPN", 4, "AA9999999", false, "SATO SUZUKI TAKAHASHI TANAKA WATANABE ITO YAMAMOTO NAKAMURA KOBAYASHI KATO YOSHIDA YAMADA SASAKI YAMAGUCHI MATSUMOTO INOUE",
		"HARUTO HIMARI REN HINA AOI YUI MINATO SAKURA SOTA MEI RIKU ICHIKA YUTO TSUMUGI HIROSHI KEIKO",
	},
	{
		"KOR", 3, "M99999999", false, "KIM LEE PARK CHOI JUNG KANG CHO YOON JANG LIM HAN OH SEO SHIN KWON HWANG",
		"MINJUN SEOYEON SEOJUN SEOYUN DOYUN JIWOO YEJUN SEOHYEON SIWOO HAEUN JUWON MINSEO JIHO JIYU",
	},
	{
		"CAN", 4, "AA999999", false, "SMITH BROWN TREMBLAY MARTIN ROY WILSON MACDONALD GAGNON JOHNSON TAYLOR COTE CAMPBELL ANDERSON LEBLANC WONG BOUCHARD",
		"LIAM OLIVIA NOAH EMMA WILLIAM CHARLOTTE THOMAS ALICE LOGAN FLORENCE LEO SOPHIA FELIX ROSE NATHAN ZOE",
	},
}

// called are the states' surnames and given names, in the order of states.
var called = func() (list [][2][]string) {
	for _, s := range states {
		list = append(list, [2][]string{strings.Fields(s.surnames), strings.Fields(s.given)})
	}
	return list
}()

var shares = func() (n int) {
	for _, s := range states {
		n += s.share
	}
	return n
}()

// Person makes person number i of a population on a day.
func Person(seed uint64, i int, today time.Time) register.Person {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	k := 0
	for n := r.IntN(shares); n >= states[k].share; k++ {
		n -= states[k].share
	}
	s, surnames, given := states[k], called[k][0], called[k][1]
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	p := register.Person{
		File: fmt.Sprintf("S%010d", i), Type: "P", Number: number(s.number, i), Issuer: s.code, Nationality: s.code, Surname: pick(surnames), GivenNames: pick(given),
		Birth: today.AddDate(-12-r.IntN(70), 0, -r.IntN(365)).Format(time.DateOnly), Sex: [2]string{"F", "M"}[r.IntN(2)], Reference: r.IntN(50) > 0, Face: "match",
	}
	if r.IntN(3) == 0 {
		p.Surname += " " + pick(surnames)
	}
	if r.IntN(2) == 0 {
		p.GivenNames += " " + pick(given)
	}
	if s.visa {
		p.Visa, p.Sticker, p.VisaEnd = "short", fmt.Sprintf("V%09d", i%1_000_000_000), today.AddDate(0, 0, r.IntN(500)-100)
	} else if r.IntN(20) > 0 {
		p.ETIAS = "valid"
	}
	p.FamilyStatus = r.IntN(60) == 0
	p.Stays = stays(r, stay.On(today))
	p.Hits = hits(r)
	return p
}

// number fills a form of document numbers with a number that nobody else has.
func number(form string, i int) string {
	b := []byte(form)
	for k := len(b) - 1; k >= 0; k-- {
		switch b[k] {
		case '9':
			b[k] = '0' + byte(i%10)
			i /= 10
		case 'A':
			b[k] = 'A' + byte(i%26)
			i /= 26
		}
	}
	return string(b)
}

// stays are up to five visits of the last two years, oldest first. One in
// thirty people is here now.
func stays(r *rand.Rand, today stay.Day) []stay.Stay {
	var list []stay.Stay
	day := today - stay.Day(720-r.IntN(300))
	for range r.IntN(6) {
		s := stay.Stay{First: day + stay.Day(r.IntN(120))}
		s.Last = s.First + stay.Day(1+r.IntN(20))
		if s.Last >= today {
			break
		}
		list = append(list, s)
		day = s.Last + 10
	}
	if r.IntN(30) == 0 {
		list = append(list, stay.Stay{First: max(day, today-stay.Day(r.IntN(40)))})
	}
	return list
}

// hits puts one in a hundred people on a list.
func hits(r *rand.Rand) map[string]string {
	switch n := r.IntN(1000); {
	case n < 3:
		return map[string]string{"SLTD": "HIT_ACTION"}
	case n < 5:
		return map[string]string{"SIS": "HIT_ACTION"}
	case n < 6:
		return map[string]string{"SIS": "HIT_INQUIRY"}
	case n < 7:
		return map[string]string{"SIS": "DISCREET"}
	case n < 9:
		return map[string]string{"FPR": "HIT_INQUIRY"}
	case n < 10:
		return map[string]string{"LOST": "HIT_ACTION"}
	}
	return nil
}
