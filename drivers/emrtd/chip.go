package emrtd

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/aa"
	"passage/drivers/emrtd/ca"
	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/pace"
	"passage/drivers/emrtd/pki"
	"passage/drivers/emrtd/sm"
)

const (
	chipCheck    = "chip authentication"
	mappingCheck = "chip authentication mapping"
	activeCheck  = "active authentication"
)

// encodeOID returns an object identifier's content octets.
func encodeOID(oid asn1.ObjectIdentifier) ([]byte, error) {
	b, err := asn1.Marshal(oid)
	if err != nil {
		return nil, fmt.Errorf("emrtd: object identifier: %w", err)
	}
	v, _ := lds.Find(b, 0x06)
	return v, nil
}

// mapping is PACE's chip authentication mapping under way.
type mapping struct {
	info pace.Info
	run  *pace.Run
	data []byte       // data object 8A
	key  *curve.Point // that the chip has proved, which DG14 may vouch for
	// signer vouches for the key by EF.CardSecurity.
	signer *pki.Certificate
	off    bool // EF.CardSecurity cost the session: not again
	// withheld says that DG14 has the mapping, and the chip did not offer it.
	withheld bool
}

var oidSecurityObject = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 3, 2, 1}

// checkMapping reads EF.CardSecurity, whose signature vouches for the key that
// the mapping proves (Doc 9303-11 §4.4.3.5). Where the signature cannot be
// judged DG14 may vouch for the key later.
func (r *reading) checkMapping(ctx context.Context) error {
	if r.mapping.run == nil || r.mapping.off || r.o.SkipChip || r.proof.CA == Successful {
		return nil
	}
	defer r.step(mappingCheck)()
	if r.mapping.data == nil {
		r.proof.CA = Failed
		r.check(mappingCheck, Failed, "the chip's last answer has no proof")
		return nil
	}
	raw, err := r.master(ctx, lds.CardSecurity)
	if sessionLost(err) {
		r.mapping.off = true
		r.check(mappingCheck, Aborted, "EF.CardSecurity: %v", err)
		return r.pickUp(ctx, err)
	}
	if lost(err) {
		return err
	}
	if err != nil {
		r.check(mappingCheck, Undetermined, "EF.CardSecurity: %v", err)
		return nil
	}
	r.doc.Files[lds.CardSecurity.Name] = raw
	keys, signer, signed, err := r.cardSecurity(raw)
	if err != nil {
		r.check(mappingCheck, Undetermined, "%v", err)
		return nil
	}
	want, _ := curve.ByID(r.mapping.info.Parameter)
	err = pace.ErrMapping
	for _, k := range keys {
		if k.Curve != want {
			continue
		}
		if err = r.mapping.run.Genuine(r.mapping.data, k.Point); err == nil {
			r.mapping.key = &k.Point
			break
		}
	}
	switch {
	case err != nil:
		r.proof.CA = Failed
		r.check(mappingCheck, Failed, "%v", err)
	case signed != nil:
		r.check(mappingCheck, Undetermined, "the key is proved; who signed it is not known: %v", signed)
	default:
		r.proof.CA, r.mapping.signer = Successful, signer
		r.check(mappingCheck, Successful, "%v, EF.CardSecurity", r.mapping.info)
	}
	return nil
}

// sameIssuer takes back what the mapping proved if another state signed
// EF.CardSecurity than the document: nothing but their signers binds the two
// together, and a key that one state has signed proves no chip of another's.
func (r *reading) sameIssuer(p *passive) {
	c := r.mapping.signer
	if c == nil || r.proof.CA != Successful || p.signer != nil && p.signer.Issuer.Country == c.Issuer.Country {
		return
	}
	r.proof.CA = Undetermined
	r.check(mappingCheck, Undetermined, "EF.CardSecurity is of %s, the document is not", c.Issuer.Country)
}

// pickUp opens a new session after EF.CardSecurity cost the last one.
func (r *reading) pickUp(ctx context.Context, why error) error {
	if r.reauth--; r.reauth < 0 {
		return fmt.Errorf("%w: %w: %w", ErrProtocol, errSession, why)
	}
	r.doc.Again++
	r.session, r.current = nil, 0
	if _, err := r.plain(ctx, apdu.Command{INS: 0xA4, P2: 0x0C, Data: masterFile}); err != nil {
		return err
	}
	return r.pace(ctx, r.mapping.info)
}

// master reads a file of the master file under the session, without second
// attempts.
func (r *reading) master(ctx context.Context, f lds.File) ([]byte, error) {
	var b []byte
	for want := 0; want == 0 || len(b) < want; {
		n := r.block()
		if want > 0 {
			n = min(n, want-len(b))
		}
		chunk, err := r.chunk(ctx, f, len(b), n)
		if err != nil {
			return nil, err
		}
		if len(chunk) == 0 {
			return nil, fmt.Errorf("%w: %s: %w", ErrProtocol, f.Name, errEnd)
		}
		if b = append(b, chunk...); want == 0 {
			if want, err = r.length(f, b); err != nil {
				return nil, err
			}
		}
		if len(b) >= want {
			b = b[:want]
		}
	}
	r.current = 0 // its short identifier is another file's in the application
	r.held += len(b)
	return b, nil
}

// cardSecurity reads the keys of EF.CardSecurity and who signed them. signed is
// why the signature cannot be relied on, nil if it can: its signer stands as high
// as a document's.
func (r *reading) cardSecurity(raw []byte) (keys []ca.Key, signer *pki.Certificate, signed, err error) {
	fail := func(err error) ([]ca.Key, *pki.Certificate, error, error) {
		return nil, nil, nil, fmt.Errorf("EF.CardSecurity: %w", err)
	}
	s, err := pki.ParseSigned(raw)
	if err != nil {
		return fail(err)
	}
	if !s.ContentType.Equal(oidSecurityObject) {
		return fail(fmt.Errorf("content type %v", s.ContentType))
	}
	infos, err := lds.ParseSecurity(lds.CardAccess, s.Content)
	if err != nil {
		return fail(err)
	}
	v, signed := s.Verify(r.o.Trust)
	if signed == nil {
		signed = v.Signer.SignsDocuments()
	}
	var path []*pki.Certificate
	if signed == nil {
		path, signed = r.o.Trust.Chain(v.Signer)
	}
	if signed == nil {
		if why := r.o.Trust.Standing(v.Signer, path, r.o.Now).Revoked; why != nil {
			signed = fmt.Errorf("its signer was revoked on %s for reason %d", why.At.Format(time.DateOnly), why.Reason)
		}
	}
	keys, _ = ca.Keys(infos)
	return keys, v.Signer, signed, nil
}

// authenticateChip asks the chip for the private key of its DG14. The answer
// counts only if DG14 is the signed one.
func (r *reading) authenticateChip(ctx context.Context, p *passive) error {
	if p.object == nil || p.object.Hashes[14] == nil {
		if r.proof.CA == "" {
			r.check(chipCheck, NotSupported, "the security object lists no DG14")
		}
		return nil
	}
	dg14, err := r.group(ctx, p, 14)
	if err != nil {
		return err
	}
	switch {
	case dg14 == nil:
		if r.proof.CA != Successful {
			r.proof.CA = Undetermined
			r.check(chipCheck, Undetermined, "DG14 is signed, but cannot be read")
		}
		return nil
	case !p.same(14, dg14):
		r.proof.CA = Undetermined
		r.check(chipCheck, Undetermined, "DG14 is not the signed one")
		return nil
	}
	infos, err := lds.ParseSecurity(lds.Group(14), dg14)
	if err != nil {
		r.check(chipCheck, Undetermined, "%v", err)
		return nil
	}
	variants, refused := ca.Variants(infos)
	for _, why := range refused {
		r.instead("%v", why)
	}
	r.mapping.withheld = r.offered(pace.Parse(infos))
	if r.vouched(variants) || r.proof.CA == Successful || r.proof.CA == Failed || r.o.SkipChip {
		return nil
	}
	if len(variants) == 0 {
		code, reason := NotSupported, "DG14 has no key for it"
		if len(refused) > 0 {
			code, reason = Undetermined, fmt.Sprintf("no key of DG14 can be used: %v", refused[0])
		}
		r.proof.CA = code
		r.check(chipCheck, code, "%s", reason)
		return nil
	}
	return r.chipAuthentication(ctx, variants[0])
}

// offered compares what the chip offered before access, which nobody signs, with
// DG14, which lists the same (BSI TR-03110-1, Advanced Inspection Procedure): a
// chip that offers less than its state says is held back, or is another one. It
// says whether that is so of the chip authentication mapping.
func (r *reading) offered(signed []pace.Info) (withheld bool) {
	const name = "EF.CardAccess and DG14"
	if len(signed) == 0 {
		return false // not all states list PACE there
	}
	var missing []pace.Info
	for _, i := range signed {
		if !slices.ContainsFunc(r.infos, func(o pace.Info) bool { return o.String() == i.String() }) {
			missing = append(missing, i)
			withheld = withheld || i.Mapping == pace.CAM
		}
	}
	if len(missing) > 0 {
		r.check(name, Failed, "the chip did not offer %v", missing)
	} else {
		r.check(name, Successful, "the same offers")
	}
	return withheld
}

// vouched says whether DG14, which is signed, has the key that the mapping
// proved and that EF.CardSecurity could not vouch for.
func (r *reading) vouched(variants []ca.Variant) bool {
	if r.mapping.key == nil || r.proof.CA == Successful {
		return false
	}
	for _, v := range variants {
		if v.Curve != nil && v.Curve.ID == r.mapping.info.Parameter && v.Point.Equal(*r.mapping.key) {
			r.proof.CA = Successful
			r.check(mappingCheck, Successful, "%v, the key of DG14", r.mapping.info)
			return true
		}
	}
	return false
}

// pending is Chip Authentication that waits for the first answer under its keys.
type pending struct {
	variant ca.Variant
	short   []byte
}

// chipAuthentication runs Chip Authentication (§6.2) in the form that the
// cipher usually takes, and once in the other form if the chip refuses.
func (r *reading) chipAuthentication(ctx context.Context, v ca.Variant) error {
	defer r.step(chipCheck)()
	if v.Note != "" {
		r.instead("%s", v.Note)
	}
	run, err := v.Start(r.o.Random)
	if err != nil {
		r.proof.CA = Undetermined
		r.check(chipCheck, Undetermined, "%v", err)
		return nil
	}
	forms := []func(context.Context, ca.Variant, []byte) error{r.setAT, r.setKAT}
	if v.Cipher == kdf.TDES {
		forms[0], forms[1] = forms[1], forms[0]
	}
	if err = forms[0](ctx, v, run.Public); err != nil && !lost(err) {
		r.instead("%v: %v: the other form", v, err)
		err = forms[1](ctx, v, run.Public)
	}
	switch {
	case sessionLost(err):
		return r.chipAgain(ctx, v, err)
	case gone(err):
		if err = r.back(ctx, 0, err); err != nil {
			return err
		}
		return r.chipAuthentication(ctx, v)
	case lost(err):
		return err
	case err != nil:
		r.proof.CA = Failed
		r.check(chipCheck, Failed, "%v: %v", v, err)
		return nil
	}
	r.pending = &pending{v, run.Short}
	r.session, err = sm.New(v.Cipher, run.Secret, make([]byte, v.Cipher.BlockLen()))
	return err
}

// chipAgain opens a new session after Chip Authentication cost the last one.
// The chip has a second chance to prove itself: the first may have failed for
// another reason than its key. Without a second it goes on as a chip that
// failed.
func (r *reading) chipAgain(ctx context.Context, v ca.Variant, why error) error {
	r.pending = nil
	r.chances++
	if r.chances > 1 {
		r.proof.CA = Failed
		r.check(chipCheck, Failed, "%v: twice the chip did not show the private key of DG14: %v", v, why)
		return r.again(ctx, why)
	}
	if err := r.again(ctx, why); err != nil {
		return err
	}
	return r.chipAuthentication(ctx, v)
}

// sessionLost says whether err means that the session must not be used again.
func sessionLost(err error) bool {
	return errors.Is(err, sm.ErrMAC) || errors.Is(err, sm.ErrNaked) || apdu.HasStatus(err, apdu.WrongSM, apdu.NoSM)
}

// setAT is MSE:Set AT and GENERAL AUTHENTICATE (§6.2.4.2).
func (r *reading) setAT(ctx context.Context, v ca.Variant, public []byte) error {
	oid, err := encodeOID(v.OID)
	if err != nil {
		return err
	}
	data := lds.Make(0x80, oid)
	if v.ID != nil {
		data = append(data, lds.Make(0x84, v.ID)...)
	}
	if _, err := r.must(ctx, "MSE:Set AT", apdu.Command{INS: 0x22, P1: 0x41, P2: 0xA4, Data: data}); err != nil {
		return err
	}
	_, err = r.general(ctx, lds.Make(0x80, public), false)
	return err
}

// setKAT is MSE:Set KAT, for 3DES (§6.2.4.1).
func (r *reading) setKAT(ctx context.Context, v ca.Variant, public []byte) error {
	data := lds.Make(0x91, public)
	if v.ID != nil {
		data = append(data, lds.Make(0x84, v.ID)...)
	}
	_, err := r.must(ctx, "MSE:Set KAT", apdu.Command{INS: 0x22, P1: 0x41, P2: 0xA6, Data: data})
	return err
}

// proved notes that an answer under new keys was authentic.
func (r *reading) proved() {
	if r.pending == nil {
		return
	}
	r.proof.CA, r.terminal = Successful, r.pending.short
	r.check(chipCheck, Successful, "%v", r.pending.variant)
	r.pending = nil
}

// activeAuthentication asks the chip to sign, if the signed list has a key for
// it and nothing else has proved the chip.
func (r *reading) activeAuthentication(ctx context.Context, p *passive) error {
	if r.proof.CA == Successful || r.proof.CA == Failed {
		return nil
	}
	if p.object == nil || p.object.Hashes[15] == nil {
		if r.mapping.withheld { // and nothing else proves the chip
			r.proof.CA = Failed
			r.check(mappingCheck, Failed, "DG14 says that the chip knows it, and it did not offer it")
		}
		r.check(activeCheck, NotSupported, "the security object lists no DG15")
		return nil
	}
	dg15, err := r.group(ctx, p, 15)
	if err != nil {
		return err
	}
	switch {
	case dg15 == nil:
		r.proof.AA = Undetermined
		r.check(activeCheck, Undetermined, "DG15 is signed, but cannot be read")
		return nil
	case !p.same(15, dg15):
		r.proof.AA = Undetermined
		r.check(activeCheck, Undetermined, "DG15 is not the signed one")
		return nil
	}
	spki, err := lds.ParseDG15(dg15)
	var key *pki.PublicKey
	if err == nil {
		key, err = pki.ParsePublicKey(spki)
	}
	if err != nil {
		r.proof.AA = Undetermined
		r.check(activeCheck, Undetermined, "%v", err)
		return nil
	}
	defer r.step(activeCheck)()
	challenge := make([]byte, 8)
	if _, err := io.ReadFull(r.o.Random, challenge); err != nil {
		return fmt.Errorf("emrtd: random: %w", err)
	}
	var infos [][]byte
	if dg14 := r.doc.Files[lds.Group(14).Name]; dg14 != nil && p.same(14, dg14) {
		infos, _ = lds.ParseSecurity(lds.Group(14), dg14)
	}
	signature, err := r.sign(ctx, key, challenge)
	if anew := r.again; sessionLost(err) || gone(err) {
		if gone(err) {
			anew = func(ctx context.Context, why error) error { return r.back(ctx, 0, why) }
		}
		if err = anew(ctx, err); err == nil {
			signature, err = r.sign(ctx, key, challenge)
		}
	}
	if lost(err) {
		return err
	}
	if err == nil {
		err = aa.Verify(key, aa.Hash(infos, key), challenge, signature)
	}
	if err != nil {
		r.proof.AA = Failed
		r.check(activeCheck, Failed, "%v", err)
		return nil
	}
	r.proof.AA = Successful
	r.check(activeCheck, Successful, "%v", key)
	return nil
}

// sign is INTERNAL AUTHENTICATE. A signature that does not fit a short answer
// is asked for by its exact length; chips that want it otherwise say so.
func (r *reading) sign(ctx context.Context, key *pki.PublicKey, challenge []byte) ([]byte, error) {
	length := 0
	if key.RSA != nil {
		length = (key.RSA.N.BitLen() + 7) / 8
	} else {
		length = 2 * ((key.Curve.N.BitLen() + 7) / 8)
	}
	ne := 256
	if length > r.shortBlock() {
		ne = length
	}
	for attempt := 0; ; attempt++ {
		resp, err := r.send(ctx, apdu.Command{INS: 0x88, Data: challenge, Ne: ne})
		if err != nil {
			return nil, err
		}
		switch {
		case resp.SW == apdu.OK && len(resp.Data) > 0:
			return resp.Data, nil
		case attempt > 1:
		case resp.SW>>8 == 0x6C && resp.SW&0xFF > 0:
			ne = int(resp.SW & 0xFF)
			continue
		case (resp.SW == apdu.OK || resp.SW == apdu.WrongLength || resp.SW>>8 == 0x6C) && ne != length:
			ne = length
			continue
		case resp.SW == apdu.WrongLength && ne != 256:
			ne = 256
			continue
		}
		return nil, &apdu.StatusError{Command: "INTERNAL AUTHENTICATE", SW: resp.SW}
	}
}
