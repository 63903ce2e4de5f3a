package console

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"passage/kiosk/fleet"
	"passage/kiosk/pages"
	"passage/kiosk/site"
	"passage/kiosk/web"
)

// askAtOnce bounds how many lanes are asked at the same time.
const askAtOnce = 64

// openCase is an open reconciliation case of some lane.
type openCase struct {
	Lane string `json:"lane"`
	web.CaseView
}

// openCases lists the open reconciliation cases of all lanes, oldest first, and
// the lanes that did not answer: their cases are not known, which is not none.
func (c *server) openCases(w http.ResponseWriter, r *http.Request, _ *session) {
	lanes, _, _ := c.site.Hub().Since(0)
	var (
		mu     sync.Mutex
		asking errgroup.Group
		list   = []openCase{}
		silent = []string{}
	)
	asking.SetLimit(askAtOnce)
	for _, l := range lanes {
		asking.Go(func() error {
			found, ok := c.casesOf(r, l)
			mu.Lock()
			defer mu.Unlock()
			if !ok {
				silent = append(silent, l.ID)
			}
			for _, x := range found {
				list = append(list, openCase{l.ID, x})
			}
			return nil
		})
	}
	_ = asking.Wait() // nobody fails: a lane that does not answer is listed
	slices.SortFunc(list, func(a, b openCase) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Lane, b.Lane)) })
	slices.Sort(silent)
	pages.Reply(w, http.StatusOK, map[string]any{"cases": list, "silent": silent})
}

func (c *server) casesOf(r *http.Request, l site.Lane) ([]web.CaseView, bool) {
	if l.Away {
		return nil, false
	}
	b, err := c.site.Ask(r.Context(), l.ID, fleet.Ask{What: fleet.AskCases})
	if err != nil {
		return nil, false
	}
	var list []web.CaseView
	return list, json.Unmarshal(b, &list) == nil
}
