package emrtd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/ta"
)

const terminalCheck = "terminal authentication"

// trustPoints is EF.CVCA: the chip's trust points, where PACE has not named
// them. It has a fixed length and no length of its own (TR-03110-3 App A.1.2).
var trustPoints = lds.File{Name: "CVCA", SFI: 0x1C, FID: 0x011C}

const trustPointsLen = 36

// sensitive reads DG3 and DG4 after Terminal Authentication.
func (r *reading) sensitive(ctx context.Context, p *passive) error {
	rights, err := r.authenticateTerminal(ctx)
	if lost(err) {
		return err
	}
	if err != nil {
		r.check(terminalCheck, Failed, "%v", err)
		return nil
	}
	if rights == 0 {
		return nil
	}
	for _, g := range []struct {
		n     int
		right byte
	}{{3, ta.ReadFingers}, {4, ta.ReadIris}} {
		if p.object.Hashes[g.n] == nil || rights&g.right == 0 || !slices.Contains(r.o.Groups, g.n) {
			continue
		}
		if _, err := r.group(ctx, p, g.n); err != nil {
			return err
		}
	}
	return nil
}

// authenticateTerminal proves the reader to the chip (TR-03110-1 §3.5) and
// returns its rights, 0 for none.
func (r *reading) authenticateTerminal(ctx context.Context) (byte, error) {
	switch {
	case r.o.Terminal == nil:
		r.check(terminalCheck, NotSupported, "no terminal certificates are given")
		return 0, nil
	case r.terminal == nil:
		r.check(terminalCheck, NotSupported, "it needs Chip Authentication")
		return 0, nil
	}
	defer r.step(terminalCheck)()
	cars := r.cars
	if len(cars) == 0 {
		var err error
		if cars, err = r.readTrustPoints(ctx); err != nil {
			return 0, err
		}
	}
	var path ta.Path
	err := fmt.Errorf("%w: the chip names none", ta.ErrPath)
	for _, car := range cars {
		if path, err = r.o.Terminal.Path(car, r.o.Now); err == nil {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	for _, c := range path.List {
		if err := r.present(ctx, c); err != nil {
			return 0, fmt.Errorf("%s: %w", c.Holder, err)
		}
	}
	is := path.List[len(path.List)-1]
	if _, err := r.must(ctx, "MSE:Set AT", apdu.Command{INS: 0x22, P1: 0x81, P2: 0xA4, Data: lds.Make(0x83, []byte(is.Holder))}); err != nil {
		return 0, err
	}
	challenge, err := r.must(ctx, "GET CHALLENGE", apdu.Command{INS: 0x84, Ne: 8})
	if err != nil {
		return 0, err
	}
	id := r.chipID
	if id == nil {
		id = documentID(r.doc.MRZ)
	}
	signature, err := r.o.Terminal.Sign(r.o.Random, ta.Proof(id, challenge, r.terminal))
	if err != nil {
		return 0, err
	}
	if _, err := r.must(ctx, "EXTERNAL AUTHENTICATE", apdu.Command{INS: 0x82, Data: signature}); err != nil {
		return 0, err
	}
	rights := path.Rights[len(path.Rights)-1]
	r.check(terminalCheck, Successful, "%s, rights %02X", is.Holder, rights)
	return rights, nil
}

// present gives the chip one certificate.
func (r *reading) present(ctx context.Context, c *ta.Certificate) error {
	if _, err := r.must(ctx, "MSE:Set DST", apdu.Command{INS: 0x22, P1: 0x81, P2: 0xB6, Data: lds.Make(0x83, []byte(c.Authority))}); err != nil {
		return err
	}
	body, ok := lds.Find(c.Raw, 0x7F21)
	if !ok {
		return errors.New("no certificate")
	}
	_, err := r.must(ctx, "PSO:Verify Certificate", apdu.Command{INS: 0x2A, P2: 0xBE, Data: body})
	return err
}

func (r *reading) readTrustPoints(ctx context.Context) ([]string, error) {
	b, err := r.chunk(ctx, trustPoints, 0, trustPointsLen)
	if err != nil {
		return nil, err
	}
	var list []string
	for len(b) > 0 && b[0] == 0x42 && len(list) < 2 {
		t, rest, err := lds.Next(b)
		if err != nil {
			return nil, fmt.Errorf("%w: EF.CVCA: %w", ErrProtocol, err)
		}
		list, b = append(list, string(t.Value)), rest
	}
	return list, nil
}

// documentID identifies a chip after BAC: its document number with the check
// digit, as in DG1.
func documentID(m mrz.MRZ) []byte {
	n := m.Number
	for len(n) < 9 {
		n += "<"
	}
	return append([]byte(n), mrz.CheckDigit(n))
}
