package kiosk_test

import (
	"testing"
	"time"

	"passage/kiosk"
)

func TestCriticalPath(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	spans := []kiosk.Span{
		{Name: "mrz", Start: 0, End: ms(100)},
		{Name: "consult.SIS", Start: ms(100), End: ms(900)}, // beside the chip
		{Name: "chip.access", Start: ms(110), End: ms(300)},
		{Name: "chip.DG2", Start: ms(300), End: ms(800)},
		{Name: "lane.DOC_READ", Start: 0, End: ms(1000)}, // the steps count, not their phase
		{Name: "lane.TAKE_DOC", Start: ms(1000), End: ms(1500)},
	}
	if got := kiosk.CriticalPath(spans); got != ms(100+190+500+500) {
		t.Errorf("critical path %v", got)
	}
}
