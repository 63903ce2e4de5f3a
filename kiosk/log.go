package kiosk

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// crossingLog adds the UUID of the transaction under way to every line, so that
// one search finds what happened in a crossing. Work that is told its
// transaction by its context names that one.
type crossingLog struct {
	slog.Handler
	now *atomic.Pointer[string] // nil between travellers
}

func (h crossingLog) Handle(ctx context.Context, r slog.Record) error {
	id := Transaction(ctx)
	if now := h.now.Load(); id == "" && now != nil {
		id = *now
	}
	if id != "" {
		r.AddAttrs(slog.String("crossing", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h crossingLog) WithAttrs(list []slog.Attr) slog.Handler {
	return crossingLog{h.Handler.WithAttrs(list), h.now}
}

func (h crossingLog) WithGroup(name string) slog.Handler {
	return crossingLog{h.Handler.WithGroup(name), h.now}
}
