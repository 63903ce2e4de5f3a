package passport

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"fmt"
	"maps"
	"time"

	"passage/drivers/emrtd/face"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/hwsim/passport/testpki"
)

// Files that are outside the eMRTD application (Doc 9303-10 §3.11).
const (
	fidAttributes   = 0x2F01 // EF.ATR/INFO
	fidDirectory    = 0x2F00
	fidCardAccess   = 0x011C
	fidCardSecurity = 0x011D
	fidCVCA         = 0x011C // in the application
)

var application = []byte{0xA0, 0, 0, 2, 0x47, 0x10, 1}

// Issue makes a chip that an office of its own signed, and the trust store of a
// reader that trusts this office. fault is one of testpki.Faults, or "".
func Issue(p Profile, country string, now time.Time, fault string) (*Card, *pki.Store, error) {
	if p.Random == nil {
		p.Random = rand.Reader
	}
	office, err := testpki.NewOffice(country, now, fault, p.Random)
	if err != nil {
		return nil, nil, err
	}
	store, err := office.Store()
	if err != nil {
		return nil, nil, err
	}
	card, err := New(p, office.Signer)
	return card, store, err
}

// New personalises a chip: its files are made and signed by signer.
func New(p Profile, signer *testpki.Signer) (*Card, error) {
	if err := p.fill(); err != nil {
		return nil, err
	}
	p.Faults = maps.Clone(p.Faults)
	c := &Card{profile: p, random: p.Random, mf: map[uint16][]byte{}, app: map[uint16][]byte{}, date: p.Today, canLeft: canTries}
	if c.random == nil {
		c.random = rand.Reader
	}
	if err := c.loadTrust(); err != nil {
		return nil, err
	}
	var err error
	if !p.NoAA {
		if c.aa, err = c.makeActive(); err != nil {
			return nil, fmt.Errorf("passport: %w", err)
		}
	}
	if p.CA.on() {
		a, err := agreementOf(p.CA.Parameter)
		if err != nil {
			return nil, err
		}
		if c.ca, err = newPair(c.random, a, a.base()); err != nil {
			return nil, err
		}
	}
	groups, err := c.makeGroups()
	if err != nil {
		return nil, err
	}
	object := testpki.SecurityObject{Groups: groups, LDS18: p.LDS18}
	if c.on("duplicate_hash") {
		object.Twice = 1
	}
	sod, err := signer.SOD(object)
	if err != nil {
		return nil, err
	}
	if (c.on("clone") || c.on("swapped_dg15")) && !p.NoAA {
		if c.aa, err = c.makeActive(); err != nil {
			return nil, fmt.Errorf("passport: %w", err)
		}
	}
	if c.on("swapped_dg15") && !p.NoAA {
		groups[15], _ = c.files15()
	}
	c.tamper(groups)
	c.write(groups)
	c.app[lds.SOD.FID] = sod
	return c, c.master(signer)
}

// makeGroups makes the data groups as they are signed.
func (c *Card) makeGroups() (map[int][]byte, error) {
	p := c.profile
	groups := map[int][]byte{1: c.zone(), 2: c.portrait()}
	var infos [][]byte
	for _, v := range p.PACE {
		infos = append(infos, paceInfo(v))
	}
	if p.CA.on() {
		list, err := p.CA.infos(c.ca)
		if err != nil {
			return nil, err
		}
		infos = append(infos, list...)
	}
	if len(p.CVCA) > 0 {
		infos = append(infos, lds.Make(0x30, der(asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 2}), der(1)))
	}
	proof := p.CA.on() || len(p.CVCA) > 0
	if !p.NoAA {
		dg15, info := c.files15()
		groups[15] = dg15
		if info != nil {
			infos, proof = append(infos, info), true
		}
	}
	if proof {
		groups[14] = lds.Make(0x6E, lds.Make(0x31, infos...))
	}
	maps.Copy(groups, p.Groups)
	return groups, nil
}

func (c *Card) zone() []byte {
	text := ""
	for _, l := range c.profile.MRZ.Lines() {
		text += l
	}
	return lds.Make(0x61, lds.Make(0x5F1F, []byte(text)))
}

// portrait is DG2: one record of ISO/IEC 19794-5 or 39794-5 in its templates.
func (c *Card) portrait() []byte {
	p := c.profile
	wrap := func(format byte, data []byte) []byte {
		header := lds.Make(0xA1, lds.Make(0x80, []byte{1, 1}), lds.Make(0x81, []byte{2}), lds.Make(0x87, []byte{1, 1}), lds.Make(0x88, []byte{0, format}))
		return lds.Make(0x75, lds.Make(0x7F61, lds.Make(0x02, []byte{1}), lds.Make(0x7F60, header, data)))
	}
	if p.Face39794 {
		return wrap(0x2A, lds.Make(0x7F2E, face.Record39794(p.Portrait, p.Width, p.Height)))
	}
	stream, format := p.Portrait, face.JPEG
	if bytes.HasPrefix(stream, []byte{0, 0, 0, 0x0C}) || bytes.HasPrefix(stream, []byte{0xFF, 0x4F}) {
		format = face.JPEG2000
	}
	if c.on("bomb") {
		stream, format = bomb(), face.JPEG2000
	}
	record := face.Record(stream, format, p.Width, p.Height)
	if c.on("faces") {
		record[12], record[13] = 0xFF, 0xFF
	}
	data := lds.Make(0x5F2E, record)
	if c.on("nested") {
		data = nested(10_000)
	}
	if c.on("dg2_huge") {
		data = append([]byte{0x5F, 0x2E, 0x84, 0xFF, 0xFF, 0xFF, 0xFF}, record...)
	}
	return wrap(8, data)
}

// nameAt is where the holder's name begins in DG1. Names have no check digit: a
// forger can change a letter, and the zone still holds.
var nameAt = map[mrz.Size]int{mrz.TD1: 5 + 60, mrz.TD2: 5 + 5, mrz.TD3: 5 + 5}

// tamper changes files after they were signed.
func (c *Card) tamper(groups map[int][]byte) {
	if c.on("tampered_dg1") {
		letter := &groups[1][nameAt[c.profile.MRZ.Size]]
		*letter = 'A' + (*letter-'A'+1)%26
	}
	if c.on("broken_dg1") {
		groups[1] = lds.Make(0x61, lds.Make(0x5F1F, []byte("P<")))
	}
	if c.on("tampered_dg2") {
		groups[2][len(groups[2])/2] ^= 1
	}
	if c.on("truncated_dg2") {
		groups[2] = groups[2][:len(groups[2])/2]
	}
	if c.on("dg2_length") {
		groups[2] = append([]byte{0x75, 0x83, 0x0F, 0x00, 0x00}, groups[2][min(4, len(groups[2])):]...)
	}
	if c.on("dg2_announces") {
		groups[2] = append([]byte{0x75, 0x84, 0xFF, 0xFF, 0xFF, 0xFF}, groups[2][min(4, len(groups[2])):]...)
	}
	if c.on("no_dg14") {
		delete(groups, 14)
	}
}

// write puts the groups and EF.COM into the application.
func (c *Card) write(groups map[int][]byte) {
	tags := []byte{}
	for n := 1; n <= 16; n++ {
		if b, ok := groups[n]; ok {
			f := lds.Group(n)
			c.app[f.FID] = b
			tags = append(tags, byte(f.Tag))
		}
	}
	if c.on("com_differs") {
		tags = append(tags, byte(lds.Group(16).Tag))
	}
	version := "0107"
	if c.profile.LDS18 {
		version = "0108"
	}
	c.app[lds.COM.FID] = lds.Make(0x60, lds.Make(0x5F01, []byte(version)), lds.Make(0x5F36, []byte("040000")), lds.Make(0x5C, tags))
	if len(c.trust) > 0 {
		c.app[fidCVCA] = c.fileCVCA()
	}
}

// master makes the files of the master file.
func (c *Card) master(signer *testpki.Signer) error {
	p := c.profile
	c.mf[fidDirectory] = lds.Make(0x61, lds.Make(0x4F, application))
	// Card capabilities (ISO/IEC 7816-4 §12.1.1.9): chaining, extended length,
	// and that its sizes are told here.
	attributes := lds.Make(0x47, []byte{0x80, 0x01, c.capabilities()})
	if p.Buffer > 0 {
		attributes = append(attributes, lds.Make(0x7F66, der(p.Buffer), der(p.Buffer))...)
	}
	if p.Buffer > 0 || p.Short {
		c.mf[fidAttributes] = attributes
	}
	if len(p.PACE) == 0 {
		return nil
	}
	var infos []byte
	mapped := 0
	for _, v := range p.PACE {
		infos = append(infos, paceInfo(v)...)
		if v.Mapping == CAM {
			mapped = v.Parameter
		}
	}
	c.mf[fidCardAccess] = lds.Make(0x31, infos)
	if c.on("pace_withheld") {
		c.mf[fidCardAccess] = lds.Make(0x31, infos[len(paceInfo(p.PACE[0])):])
	}
	if mapped == 0 {
		return nil
	}
	a, err := agreementOf(mapped)
	if err != nil {
		return err
	}
	if c.cam, err = newPair(c.random, a, a.base()); err != nil {
		return err
	}
	proof := ChipAuth{Parameter: mapped, NoInfo: true}
	list, err := proof.infos(c.cam)
	if err != nil {
		return err
	}
	if p.Security != nil {
		signer = p.Security
	}
	c.mf[fidCardSecurity], err = signer.CardSecurity(lds.Make(0x31, append([][]byte{infos}, list...)...))
	return err
}

// capabilities is the third software function of the card's historical bytes.
func (c *Card) capabilities() byte {
	var b byte
	if !c.profile.NoChaining {
		b |= 0x80
	}
	if !c.profile.Short {
		b |= 0x40
	}
	if c.profile.Buffer > 0 {
		b |= 0x20
	}
	return b
}

func paceInfo(v Variant) []byte {
	return lds.Make(0x30, der(v.oid()), der(2), der(v.Parameter))
}

// der marshals constants of ours, which cannot fail.
func der(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic("passport: " + err.Error())
	}
	return b
}

// sampleGroups are the groups beside DG1, DG2, DG14 and DG15, small and
// synthetic (Doc 9303-10 §4.7).
func sampleGroups() map[int][]byte {
	text := func(tag uint32, s string) []byte { return lds.Make(tag, []byte(s)) }
	template := func(tag uint32, kind byte) []byte {
		header := lds.Make(0xA1, lds.Make(0x81, []byte{kind}), lds.Make(0x87, []byte{1, 1}), lds.Make(0x88, []byte{0, 7}))
		return lds.Make(tag, lds.Make(0x7F61, lds.Make(0x02, []byte{1}), lds.Make(0x7F60, header, lds.Make(0x5F2E, bytes.Repeat([]byte{kind}, 600)))))
	}
	signature := append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, make([]byte, 1500)...)
	return map[int][]byte{
		3: template(0x63, 8), 4: template(0x76, 0x10),
		5:  lds.Make(0x65, lds.Make(0x02, []byte{1}), lds.Make(0x5F40, signature)),
		7:  lds.Make(0x67, lds.Make(0x02, []byte{1}), lds.Make(0x5F43, signature)),
		11: lds.Make(0x6B, lds.Make(0x5C, []byte{0x5F, 0x0E, 0x5F, 0x11, 0x5F, 0x42}), text(0x5F0E, "ERIKSSON<<ANNA<MARIA"), text(0x5F11, "ZENITH"), text(0x5F42, "MAIN STREET<ZENITH<UTO")),
		12: lds.Make(0x6C, lds.Make(0x5C, []byte{0x5F, 0x19, 0x5F, 0x26}), text(0x5F19, "PASSPORT OFFICE ZENITH"), text(0x5F26, "20240401")),
		13: lds.Make(0x6D, []byte("national use")),
		16: lds.Make(0x70, lds.Make(0x02, []byte{1}), lds.Make(0xA1, text(0x5F50, "20240401"), text(0x5F51, "ERIKSSON<<LARS"), text(0x5F52, "5551234"), text(0x5F53, "MAIN STREET<ZENITH<UTO"))),
	}
}
