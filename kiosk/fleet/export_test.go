package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
)

// Arrived is the lane's reading of the site's answer about its journal.
func Arrived(ctx context.Context, db *sql.DB, got Got) error {
	b, err := json.Marshal(got)
	if err == nil {
		_, err = arrived(ctx, db, b)
	}
	return err
}
