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
	maintained := s.GateState == "MAINTENANCE" && (s.State == "LUGGAGE" || s.State == "OUT_OF_SERVICE") // which a restart leaves
	switch {
	case s.State == "EVACUATE":
		return "end_evacuate", false
	case s.State == "FAULT", maintained && s.Faults > 0:
		return "clear_faults", false
	case maintained && s.Entry > 0 && (!s.Bag || s.Entry > 95):
		return "move_entry_close", s.Bag
	case maintained && !s.Bag:
		return "end_maintenance", false
	case maintained:
		return "move_entry_open", false
	case (s.State == "OUT_OF_SERVICE" || s.State == "FALLBACK") && s.Alarms > 0:
		return "clear_alarms", false
	case s.State == "LUGGAGE":
		return "maintenance", false
	}
	return "", false
}
