package seeds

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"

	"passage/kiosk"
)

// name is every traveller's, with their number: it must not be readable once
// they are gone.
const name = "QUIDAM"

func identity(n uint64) kiosk.Identity {
	number := strconv.FormatUint(n, 10)
	return kiosk.Identity{Surname: name, GivenNames: name + number, Number: number}
}

// picture hands the lane a picture of somebody, and remembers it. The lock is
// held.
func (l *life) picture() []byte {
	b := []byte(name)
	if !l.dead {
		l.sim.pictures = append(l.sim.pictures, b)
	}
	return b
}

// listening seeds keep the lane's log, and read its page when somebody has
// left: one in 64, as text is slow.
func (s *sim) listening() bool { return s.dice.seed%64 == 0 }

func (s *sim) logger() *slog.Logger {
	if !s.listening() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(logOf{s}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// logOf reads what a lane logs.
type logOf struct{ *sim }

func (l logOf) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(name)) {
		l.mu.Lock()
		l.broken("a name in the log")
		l.mu.Unlock()
	}
	return len(line), nil
}

// forgotten checks that the lane has kept nothing of travellers who have left:
// neither their pictures, which it had in hand, nor anything that its pages
// could show. What the disk keeps is the journal's, which the sibling package's
// drawn worlds search.
func (s *sim) forgotten(shell *kiosk.Shell) {
	serving := shell.Serving()
	var page []byte
	var err error
	if s.listening() {
		page, err = json.Marshal(shell.View())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.pictures {
		if bytes.Contains(b, []byte(name)) {
			s.broken("a picture outlives its transaction")
		}
	}
	s.pictures = s.pictures[:0]
	switch {
	case serving:
		s.broken("the lane still holds what it knew of a traveller who has left")
	case err != nil || bytes.Contains(page, []byte(name)):
		s.broken(fmt.Sprintf("a page shows a traveller who has left, or nothing (%v)", err))
	}
}
