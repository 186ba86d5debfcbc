package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proa-os/proa/updater/config"
	"github.com/proa-os/proa/updater/hooks"
)

// reluctant refuses the reboot until a time.
type reluctant struct {
	hooks.Runner
	until time.Time
}

func (r reluctant) Run(_ context.Context, hook hooks.Hook) error {
	if hook == hooks.RebootBefore && time.Now().Before(r.until) {
		return errors.New("not yet")
	}
	return nil
}

func TestHookPutsTheRebootOffButNotForEver(t *testing.T) {
	for name, c := range map[string]struct {
		refuses time.Duration
		want    []string
	}{
		"gives in": {90 * time.Second, []string{"arm 2m0s", "reboot 2m0s"}},
		"never":    {time.Hour, []string{"arm 2m0s", "take-back 2m0s", "check 3m0s", "stage 3m0s", "arm 3m0s", "reboot 3m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t, func(s *config.Settings) { s.RebootDeferral = config.Duration(170 * time.Second) })
				m.offer = release
				d := m.daemon()
				d.Hooks = reluctant{hooks.None(), time.Now().Add(c.refuses)}
				m.run(d, time.Hour)
				m.want(append([]string{"watch 0s", "check 0s", "stage 0s", "arm 0s", "take-back 0s", "check 1m0s", "stage 1m0s", "arm 1m0s", "take-back 1m0s", "check 2m0s", "stage 2m0s"}, c.want...)...)
			})
		})
	}
}

func TestDroppedReleaseIsLeftAloneUntilTheNextPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, sunday)
		m.settings.Poll = config.Duration(time.Hour)
		m.offer = release
		d := m.daemon()
		m.run(d, 90*time.Minute, func() { time.Sleep(time.Minute) }, d.Drop)
		m.want("watch 0s", "check 0s", "stage 0s", "check 1h0m0s", "stage 1h0m0s")
	})
}

func TestCancellingEndsNoWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, nil)
		m.takes["watch"] = time.Hour
		d := m.daemon()
		m.run(d, 90*time.Minute, func() { time.Sleep(10 * time.Minute) }, func() { d.Interrupt() })
		m.want("watch 0s", "watch 10m0s", "check 1h10m0s")
	})
}
