package passport

import (
	"fmt"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/lds"
)

// Exchange is a command and its answer as the chip saw them.
type Exchange struct {
	Command, Reply []byte
	Protected      bool          // under secure messaging
	Plain          *apdu.Command // what was under it, or the command itself; nil if the chip did not get that far
	Data           []byte        // of the answer, before it was protected, cut or spoilt
	Status         uint16
}

// statusWords are the status words that a reader meets (ISO/IEC 7816-4 §5.6).
var statusWords = map[uint16]string{
	0x9000: "ok", 0x6282: "end of file", 0x6300: "authentication failed", 0x6700: "wrong length", 0x6884: "no chaining", 0x6982: "access refused",
	0x6985: "not now", 0x6986: "no file selected", 0x6987: "secure messaging is missing", 0x6988: "secure messaging is wrong", 0x6A80: "wrong data",
	0x6A82: "no such file", 0x6A86: "wrong parameters", 0x6A88: "no such key", 0x6B00: "beyond the end", 0x6D00: "no such command", 0x6E00: "no such class", 0x6F00: "failed",
}

// fileNames are the files of an eMRTD by short identifier (ICAO 9303-10).
func fileName(sfi byte) string {
	switch {
	case sfi >= 1 && sfi <= 16:
		return fmt.Sprintf("EF.DG%d", sfi)
	case sfi == 0x1C:
		return "EF.CardAccess or EF.CVCA"
	case sfi == 0x1D:
		return "EF.SOD or EF.CardSecurity"
	case sfi == 0x1E:
		return "EF.COM or EF.DIR"
	}
	return fmt.Sprintf("file %02X", sfi)
}

// Tell tells an exchange in the words of ISO/IEC 7816-4 and ICAO 9303-11. bad
// is an answer other than success.
func (e Exchange) Tell() (text string, bad bool) {
	c := e.Plain
	if c == nil {
		parsed, err := apdu.Parse(e.Command)
		if err != nil {
			return fmt.Sprintf("%d bytes that are no command", len(e.Command)), true
		}
		c = &parsed
	}
	text = command(*c)
	if e.Protected {
		text = "[SM] " + text
	}
	status, data := e.Status, e.Data
	if n := len(e.Reply); n >= 2 && (status == 0 || !e.Protected) {
		status, data = uint16(e.Reply[n-2])<<8|uint16(e.Reply[n-1]), e.Reply[:n-2]
	}
	word := statusWords[status]
	switch {
	case status>>8 == 0x61:
		word = fmt.Sprintf("%d bytes more", status&0xFF)
	case status>>8 == 0x6C:
		word = fmt.Sprintf("ask for %d", status&0xFF)
	case status == 0 && len(e.Reply) == 0:
		return text + " → no answer", true
	}
	if word != "" {
		word = " " + word
	}
	if len(data) > 0 {
		text += fmt.Sprintf(" → %d bytes,", len(data))
	} else {
		text += " →"
	}
	return fmt.Sprintf("%s %04X%s", text, status, word), status != 0x9000 && status>>8 != 0x61 && status != 0x6282
}

func command(c apdu.Command) string {
	switch p := [3]byte{c.INS, c.P1, c.P2}; {
	case c.INS == 0xA4 && c.P1 == 4:
		return fmt.Sprintf("SELECT application %X", c.Data)
	case c.INS == 0xA4 && selectsMaster(c):
		return "SELECT the master file"
	case c.INS == 0xA4 && len(c.Data) == 2:
		if c.Data[0] == 1 {
			return "SELECT " + fileName(c.Data[1])
		}
		return fmt.Sprintf("SELECT %X", c.Data)
	case c.INS == 0xB0 && c.P1&0x80 != 0:
		return fmt.Sprintf("READ BINARY %s at %d", fileName(c.P1&0x1F), c.P2)
	case c.INS == 0xB0:
		return fmt.Sprintf("READ BINARY at %d", int(c.P1)<<8|int(c.P2))
	case c.INS == 0xB1:
		return "READ BINARY, long offset, " + fileName(c.P2&0x1F)
	case c.INS == 0x84:
		return "GET CHALLENGE"
	case c.INS == 0x82:
		return "EXTERNAL AUTHENTICATE"
	case p == [3]byte{0x22, 0xC1, 0xA4}:
		return "MSE:Set AT for PACE"
	case p == [3]byte{0x22, 0x41, 0xA4}:
		return "MSE:Set AT for Chip Authentication"
	case p == [3]byte{0x22, 0x41, 0xA6}:
		return "MSE:Set KAT for Chip Authentication"
	case p == [3]byte{0x22, 0x81, 0xB6}:
		return "MSE:Set DST"
	case p == [3]byte{0x22, 0x81, 0xA4}:
		return "MSE:Set AT for Terminal Authentication"
	case c.INS == 0x2A:
		return "PSO: VERIFY CERTIFICATE"
	case c.INS == 0x86:
		return "GENERAL AUTHENTICATE" + step(c.Data)
	case c.INS == 0x88:
		return "INTERNAL AUTHENTICATE"
	case c.INS == 0xC0:
		return "GET RESPONSE"
	}
	return fmt.Sprintf("command %02X %02X %02X", c.INS, c.P1, c.P2)
}

// step names what a GENERAL AUTHENTICATE carries (9303-11 §4.4.4.1, §6.2.4).
func step(data []byte) string {
	d, ok := lds.Find(data, 0x7C)
	if !ok {
		return ""
	}
	for _, s := range []struct {
		tag  uint32
		text string
	}{{0x80, "public key for Chip Authentication"}, {0x81, "mapping"}, {0x83, "ephemeral key"}, {0x85, "token"}} {
		if _, ok := lds.Find(d, s.tag); ok {
			return ", " + s.text
		}
	}
	return ", the nonce"
}
