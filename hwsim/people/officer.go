package people

// Seen is what an officer sees of a lane.
type Seen struct {
	State, GateState string
	Alarms, Faults   int
	Bag              bool
	Entry            float64 // percent open
}

// Tidy is the order that puts a lane back in service after an ended crossing,
// "" for none; takeBag tells the officer to take the bag out first.
func Tidy(s Seen) (order string, takeBag bool) {
	switch {
	case s.State == "EVACUATE":
		return "end_evacuate", false
	case s.State == "FAULT":
		return "clear_faults", false
	case (s.State == "OUT_OF_SERVICE" || s.State == "FALLBACK") && s.Alarms > 0:
		return "clear_alarms", false
	case s.State == "LUGGAGE" && s.GateState == "MAINTENANCE" && s.Faults > 0:
		return "clear_faults", false
	case s.State == "LUGGAGE" && s.GateState == "MAINTENANCE" && !s.Bag && s.Entry > 0:
		return "move_entry_close", false
	case s.State == "LUGGAGE" && s.GateState == "MAINTENANCE" && !s.Bag:
		return "end_maintenance", false
	case s.State == "LUGGAGE" && s.GateState == "MAINTENANCE" && s.Entry > 95:
		return "move_entry_close", true
	case s.State == "LUGGAGE" && s.GateState == "MAINTENANCE":
		return "move_entry_open", false
	case s.State == "LUGGAGE":
		return "maintenance", false
	}
	return "", false
}
