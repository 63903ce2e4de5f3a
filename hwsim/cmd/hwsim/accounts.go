package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"passage/hwsim/register"
	"passage/sqlite"
)

// left is a person who went out by a lane's exit, by the gate's own record.
type left struct {
	lane, who string
	at        time.Time
}

// intent is one of a lane's intents and what became of it.
type intent struct {
	lane, uuid string
	at         time.Time
	end        string // record, void, case; "" while it is open
}

// accounts are both sides of what a lane owes: who crossed, and what is written
// of it.
type accounts struct {
	left    []left
	intents []intent
	records map[string]int // the register's, by transaction
}

// balance lists what does not fit. A person who crossed must have exactly one
// record in the register, or one open case; each of an intent that was durable
// before. A case without a crossing is what a power cut may leave; a record
// without one is false.
func (a accounts) balance() (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	byLane, known, crossed := map[string][]intent{}, map[string]bool{}, map[string]string{}
	for _, i := range a.intents {
		byLane[i.lane] = append(byLane[i.lane], i)
		known[i.uuid] = true
		n := a.records[i.uuid]
		switch {
		case i.end == "":
			bad("lane %s: intent %s has no end", i.lane, i.uuid)
		case i.end == "record" && n != 1:
			bad("lane %s: the register has %d records of %s", i.lane, n, i.uuid)
		case i.end != "record" && n > 0:
			bad("lane %s: the register has %d records of %s, which is a %s", i.lane, n, i.uuid, i.end)
		}
	}
	for uuid, n := range a.records {
		if !known[uuid] {
			bad("the register has %d records of %s, which no lane knows", n, uuid)
		}
	}
	for _, p := range a.left {
		// Lanes take one traveller at a time: the intent is the last before.
		last := intent{}
		for _, i := range byLane[p.lane] {
			if !i.at.After(p.at) && i.at.After(last.at) {
				last = i
			}
		}
		switch {
		case last.uuid == "":
			bad("lane %s: %s went out without an intent", p.lane, p.who)
		case crossed[last.uuid] != "":
			bad("lane %s: %s and %s went out on intent %s", p.lane, crossed[last.uuid], p.who, last.uuid)
		case last.end == "void":
			bad("lane %s: %s went out, and intent %s is void", p.lane, p.who, last.uuid)
		}
		crossed[last.uuid] = p.who
	}
	for _, i := range a.intents {
		if i.end == "record" && crossed[i.uuid] == "" {
			bad("lane %s: there is a record of %s, and nobody went out", i.lane, i.uuid)
		}
	}
	slices.Sort(wrong)
	return wrong
}

// intentsOf reads a lane's intents from its store.
func intentsOf(ctx context.Context, lane, path string) ([]intent, error) {
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.Reader.QueryContext(ctx, "SELECT i.uuid, i.at, coalesce(s.kind, '') FROM intent i LEFT JOIN settlement s USING (txn) ORDER BY txn")
	if err != nil {
		return nil, fmt.Errorf("lane %s: %w", lane, err)
	}
	defer rows.Close()
	var list []intent
	for rows.Next() {
		i, at := intent{lane: lane}, int64(0)
		if err := rows.Scan(&i.uuid, &at, &i.end); err != nil {
			return nil, fmt.Errorf("lane %s: %w", lane, err)
		}
		i.at = time.Unix(0, at)
		list = append(list, i)
	}
	return list, rows.Err()
}

// recordsOf counts a register's records by transaction.
func recordsOf(ctx context.Context, reg *register.Register) (map[string]int, error) {
	list, err := reg.Records(ctx)
	if err != nil {
		return nil, err
	}
	n := map[string]int{}
	for _, r := range list {
		n[r.Transaction.String()]++
	}
	return n, nil
}
