package devices

import (
	"database/sql"
	"time"

	"passage/eesclient/outbox"
	"passage/kiosk"
)

// Records turns a crossing's facts into the register's record.
type Records struct {
	Box           *outbox.Outbox
	CrossingPoint string
	// Location is the crossing point's: stays count its civil days, not UTC's
	// (SBC Art. 6(1)). Nil is UTC.
	Location *time.Location
}

// traveller is whose record it is, as far as records can tell: the file, or the
// document of somebody without one.
func traveller(f kiosk.Facts) string {
	if f.File != "" {
		return f.File
	}
	return f.Document.Issuer + " " + f.Identity.Number
}

// Drop erases a transaction's record that the register would not have.
func (r *Records) Drop(tx *sql.Tx, uuid string) error { return r.Box.Drop(tx, uuid) }

// Erased has the log emptied of a key that was destroyed.
func (r *Records) Erased() { r.Box.Erased() }

// Failing says why no further crossing should come about, or nil.
func (r *Records) Failing() error { return r.Box.Failing() }
