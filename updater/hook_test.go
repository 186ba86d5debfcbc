package updater_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/journal"
)

// runner notes what it is asked to start.
type runner struct {
	started []hooks.Hook
	refuses error
}

func (r *runner) Run(_ context.Context, hook hooks.Hook) error {
	r.started = append(r.started, hook)
	return r.refuses
}

func (r *runner) Announce(_ context.Context, hook hooks.Hook) error {
	r.started = append(r.started, hook)
	return r.refuses
}

func (r *runner) on(u *updater.Updater) *updater.Updater {
	u.Hooks = r
	return u
}

func TestHooksAreStartedAtTheirMoments(t *testing.T) {
	f, r := newFleet(t), &runner{}
	for range 2 { // there is nothing to write the second time
		_, err := r.on(f.host.Updater(t, nil)).Update(t.Context(), updater.UpdateOptions{Now: true})
		check(t, err)
	}
	f.boot(t, partitions.SlotB)
	for range 2 {
		_, err := r.on(f.host.Updater(t, nil)).Judge(t.Context())
		check(t, err)
	}
	if want := []hooks.Hook{hooks.UpdateBefore, hooks.UpdateAfter, hooks.Committed}; !slices.Equal(r.started, want) {
		t.Errorf("started %v, want %v", r.started, want)
	}
}

func TestWayBackIsToldOfOnceOnTheReleaseThatLeads(t *testing.T) {
	f, r := newFleet(t), &runner{}
	f.host.AddHealthCheck(t, "20-gateway", "exit 1")
	f.update(t)
	f.boot(t, partitions.SlotB)
	_, err := r.on(f.withLog(t)).Judge(t.Context())
	check(t, err)
	if len(r.started) > 0 {
		t.Errorf("the machine that goes back started %v", r.started)
	}
	for range 2 {
		f.boot(t, partitions.SlotA)
		_, err := r.on(f.withLog(t)).Judge(t.Context())
		check(t, err)
	}
	if want := []hooks.Hook{hooks.WentBack}; !slices.Equal(r.started, want) {
		t.Errorf("started %v, want %v", r.started, want)
	}
}

func TestHookBeforeAnUpdateMayRefuseIt(t *testing.T) {
	f := newFleet(t)
	var refusal *updater.Refusal
	r := &runner{refuses: errors.New("the till is open")}
	_, err := r.on(f.host.Updater(t, nil)).Update(t.Context(), updater.UpdateOptions{Now: true})
	if !errors.As(err, &refusal) || refusal.Error() != "release 1.1.0: the till is open" {
		t.Errorf("error %v", err)
	}
	if s := f.status(t); s.Phase != journal.Idle || s.Installing != nil {
		t.Errorf("status %+v: want nothing written", s)
	}
}
