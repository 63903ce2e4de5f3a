package world_test

import (
	"os"
	"testing"
	"fmt"

	"passage/kiosk"
	"passage/kiosk/lane"
)

func debugStep(e kiosk.Entry) {
	if os.Getenv("WORLD_DEBUG") == "" {
		return
	}
	fx := ""
	for _, f := range e.Effects {
		if o, ok := f.(lane.Order); ok {
			fx += " " + o.Command.String()
		} else {
			fx += fmt.Sprintf(" %T%+v", f, f)
		}
	}
	fmt.Printf("%8.2f %-14v %s%+v →%s\n", float64(e.At.UnixMilli()-946684800000)/1000, e.After.Phase, lane.Name(e.Event), e.Event, fx)
}

var _ = testing.Short
