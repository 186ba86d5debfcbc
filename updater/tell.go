package updater

import (
	"context"
	"errors"
	"time"

	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/journal"
)

func (u *Updater) emit(e events.Event) { u.Events.Event(e) }

// about is an event about a release. What is given after the text are names
// and values of further fields.
func about(kind events.Kind, target journal.Target, text string, fields ...string) events.Event {
	e := events.Event{Kind: kind, Version: target.Version, Slot: target.Slot, Text: text, Fields: map[string]string{}}
	if !target.Release.IsZero() {
		e.Fields[events.Release] = target.Release.String()
	}
	for n := 0; n+1 < len(fields); n += 2 {
		e.Fields[fields[n]] = fields[n+1]
	}
	return e
}

func (u *Updater) emitWentBack(target journal.Target, reason string, blocked bool) {
	u.emit(about(events.WentBack, target, reason))
	if blocked {
		u.emit(about(events.Blocked, target, reason))
	}
}

// emitFailure tells of an action that came to nothing; action is one of
// events' words for the field of that name.
func (u *Updater) emitFailure(ctx context.Context, action string, err error) {
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrBusy) {
		return
	}
	kind := events.Failed
	var (
		refusal   *Refusal
		untrusted *UntrustedError
		network   *NetworkError
	)
	e := events.Event{Text: journal.Reason(err.Error()), Fields: map[string]string{events.Action: action}}
	switch {
	case errors.As(err, &refusal):
		kind, e.Version = events.Refused, refusal.Version
	case errors.As(err, &untrusted):
		kind = events.Untrusted
	case errors.As(err, &network):
		kind = events.CheckFailed
	}
	e.Kind = kind
	u.emit(e)
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
