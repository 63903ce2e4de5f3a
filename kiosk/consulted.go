package kiosk

import (
	"fmt"
	"time"

	"passage/kiosk/lane"
)

// consulted is a consultation's name on the timeline. What the register itself
// did not say stays to be seen there after the crossing: that it was not
// consulted, or how old the lane's copy was.
func consulted(name string, a DBAnswer) string {
	switch {
	case a.Age > 0:
		return fmt.Sprintf("consult.%s (local copy, %v old)", name, a.Age.Round(time.Minute))
	case a.Answer == lane.NotConsulted || a.Answer == lane.Pending:
		return fmt.Sprintf("consult.%s (not consulted)", name)
	case a.Answer == lane.Malformed:
		return fmt.Sprintf("consult.%s (unreadable answer)", name)
	}
	return "consult." + name
}
