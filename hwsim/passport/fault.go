package passport

import (
	"encoding/binary"

	"passage/drivers/emrtd/lds"
	"passage/hwsim/passport/testpki"
)

// Fault describes a fault of Profile.Faults; the value says when, where that
// means something.
type Fault struct{ Name, Text string }

// Faults lists what a passport can be made to do wrong. Those of its signer
// are testpki's.
var Faults = []Fault{
	{"clone", "the chip lacks the private key of its DG15"},
	{"swapped_dg15", "DG15 is not the signed one: it has a key that the chip has"},
	{"no_aa_key", "the chip has a signed DG15 and no key for it"},
	{"wrong_ca_key", "the chip lacks the private key of its DG14 or EF.CardSecurity"},
	{"ca_replay", "the chip answers Chip Authentication with a recording"},
	{"no_dg14", "DG14 is signed, and gone"},

	{"tampered_dg1", "DG1 differs from the signed one"},
	{"tampered_dg2", "one bit of DG2 differs from the signed one"},
	{"truncated_dg2", "DG2 announces more bytes than there are"},
	{"dg2_length", "DG2 announces a megabyte, and ends"},
	{"dg2_announces", "DG2 announces 4 GiB"},
	{"dg2_huge", "a signed DG2 has a record that announces 4 GiB inside"},
	{"nested", "a signed DG2 holds 10,000 templates, each within the other"},
	{"bomb", "DG2 holds a JPEG 2000 header of 65,535² pixels"},
	{"faces", "the record of DG2 claims 65,535 faces"},
	{"broken_dg1", "DG1 is neither the signed one nor a zone"},
	{"com_differs", "EF.COM lists a group that the security object does not"},
	{"duplicate_hash", "the security object lists DG1 twice, with two hashes"},

	{"wrong_sw_at", "the n-th command is answered by 6F00 under secure messaging"},
	{"naked_at", "the n-th command is answered by 6F00 without secure messaging, and the session ends"},
	{"naked_kept_at", "the n-th command is answered by 6F00 without secure messaging; the chip did not count it"},
	{"naked_counted_at", "the same; the chip counted command and answer"},
	{"refused_at", "the n-th command is answered by 6988, and the session ends"},
	{"bad_mac_at", "the answer to the n-th command has a wrong MAC"},
	{"replay_at", "the n-th command gets the answer to the one before"},
	{"late_at", "from the n-th command on, each gets the answer to the one before"},
	{"plain_at", "from the n-th command on, the chip answers without secure messaging, as if nothing were"},
	{"garbage_at", "the n-th command is answered by random bytes"},
	{"leading_zero", "the shared secrets begin with a zero octet"},

	{"select_first", "everything before the master file is selected is answered by 6985"},
	{"app_after_mf", "the application is not found before the master file is selected"},
	{"pace_unnamed", "MSE:Set AT that names PACE's parameters is refused"},
	{"le_hint", "a read of more than n bytes is answered by 6Cxx, which says n; 255 at most"},
	{"le_at_end", "a read beyond the end of a file is answered by 6Cxx, which says how much is left"},
	{"aa_exact_le", "INTERNAL AUTHENTICATE that does not ask for the signature's length is answered by 6Cxx"},

	{"pace_unsupported", "the chip offers PACE, and refuses its parameters"},
	{"pace_withheld", "EF.CardAccess leaves out the first PACE of DG14"},
	{"pace_off_curve", "PACE's n-th public key is not on the curve, or not of the group"},
	{"pace_infinity", "PACE's n-th public key is the point at infinity"},
	{"pace_echo", "PACE's n-th public key is the reader's own"},
	{"pace_token", "PACE's token is wrong"},
	{"pace_zero_nonce", "PACE's nonce is zero"},

	{"slow", "everything takes ten times as long"},
	{"torn_at", "the card is gone after n bytes"},
	{"removed_at", "the card is gone at the n-th command"},
	{"returned_at", "the card loses the field before the n-th command and is back at once"},
	{"silent_at", "the n-th command is never answered"},

	{"endless_61", "from the n-th command on, there is always more to get: 61FF"},
	{"ignore_le", "reads answer to the end of the file, whatever was asked"},
	{"excess", "reads answer with 16 bytes more than asked"},
}

// on says whether a fault is there.
func (c *Card) on(name string) bool {
	_, ok := c.profile.Faults[name]
	return ok
}

// at says whether a fault belongs to the command under way.
func (c *Card) at(name string) bool { return c.profile.Faults[name] == c.stats.APDUs && c.on(name) }

// since says whether a fault has begun.
func (c *Card) since(name string) bool { return c.on(name) && c.stats.APDUs >= c.profile.Faults[name] }

// spoil applies the faults that belong to an answer.
func (c *Card) spoil(reply []byte) []byte {
	switch {
	case c.at("bad_mac_at") && len(reply) > 4:
		reply[len(reply)-3] ^= 1
	case c.at("naked_at"), c.at("refused_at"):
		c.v = volatile{app: c.v.app}
		if c.at("refused_at") {
			return sw(0x6988)
		}
		return sw(0x6F00)
	case c.at("naked_counted_at"):
		return sw(0x6F00)
	case c.at("garbage_at"):
		c.draw(reply)
	case c.since("endless_61"):
		return append(make([]byte, 255), 0x61, 0xFF)
	}
	own := reply
	if (c.at("replay_at") || c.since("late_at")) && c.last != nil {
		reply = c.last
	}
	c.last = own
	return reply
}

// nested is a template in a template, and so on.
func nested(depth int) []byte {
	b := lds.Make(0x5F2E, []byte("FAC"))
	for range depth {
		b = lds.Make(0x7F60, b)
	}
	return b
}

// bomb is a JPEG 2000 code stream whose header announces 65,535 × 65,535
// pixels of three components and which has no data.
func bomb() []byte {
	b := []byte{0xFF, 0x4F, 0xFF, 0x51, 0, 47, 0, 0}
	for _, v := range []uint32{65535, 65535, 0, 0, 65535, 65535, 0, 0} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = append(b, 0, 3, 7, 1, 1, 7, 1, 1, 7, 1, 1)
	return append(b, 0xFF, 0x52, 0, 12, 0, 0, 0, 1, 1, 5, 4, 4, 0, 1, 0xFF, 0x5C, 0, 4, 0x40, 0x40, 0xFF, 0xD9)
}

// Split parts named faults into the signer's and the chip's. value is the
// chip's faults; signer is "" for none.
func Split(faults map[string]int) (chip map[string]int, signer string) {
	chip = map[string]int{}
	for name, at := range faults {
		chip[name] = at
		for _, f := range testpki.Faults {
			if f.Name == name {
				delete(chip, name)
				signer = name
			}
		}
	}
	return chip, signer
}
