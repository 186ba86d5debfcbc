package updater_test

import (
	"context"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/events"
)

// clock is a time that a test moves. Waiting moves it as well.
type clock struct{ now time.Time }

func (c *clock) wait(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return ctx.Err()
}

// told is a sink that remembers.
type told struct{ events []events.Event }

func (t *told) Event(e events.Event) { t.events = append(t.events, e) }

func (t *told) kinds() []events.Kind {
	var kinds []events.Kind
	for _, e := range t.events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// at is an agent on the fleet's host with a clock.
func (f *fleet) at(t testing.TB, c *clock, sink events.Sink) *updater.Updater {
	t.Helper()
	settings, err := updater.LoadSettings(f.host.Path("agent.yaml"))
	check(t, err)
	u, err := updater.New(updater.Config{
		Host: f.host.Host(), Settings: settings, Events: sink,
		Now: func() time.Time { return c.now }, Wait: c.wait,
	})
	check(t, err)
	return u
}

func TestTrialWithoutAVerdictIsRepeatedAfterAPauseThatDoubles(t *testing.T) {
	f := newFleet(t)
	f.host.Configure(t, "trials: 10\nretryPause: 1h\n")
	c := &clock{now: time.Now()}
	for _, hours := range []time.Duration{1, 2, 4, 8, 16, 24, 24} {
		_, err := f.at(t, c, nil).Update(t.Context(), updater.UpdateOptions{})
		check(t, err)
		f.boot(t, partitions.SlotB) // and panics
		f.boot(t, partitions.SlotA)
		_, err = f.at(t, c, nil).Judge(t.Context())
		check(t, err)
		status, err := f.at(t, c, nil).Status(t.Context(), false)
		check(t, err)
		if want := c.now.Add(hours * time.Hour); status.RetryAfter == nil || status.RetryAfter.Sub(want).Abs() > time.Second {
			t.Fatalf("tried again after %v: want %v", status.RetryAfter, want)
		}
		c.now = status.RetryAfter.Add(-time.Second)
		_, err = f.at(t, c, nil).Update(t.Context(), updater.UpdateOptions{})
		wantRefusal(t, err, "the next one is not before")
		if found, err := f.at(t, c, nil).Check(t.Context()); found.News || err == nil {
			t.Errorf("check finds %+v, %v: want it refused", found, err)
		}
		c.now = c.now.Add(time.Second)
	}
}

func TestNowDoesNotWaitForTheEndOfThePause(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.boot(t, partitions.SlotA)
	f.judge(t)
	_, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
	wantRefusal(t, err, "trial 1 of 3")
	f.stage(t)
	_, err = f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
	wantRefusal(t, err, "trial 1 of 3")
	if done, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{Now: true}); err != nil || done.Result != updater.ResultArmed {
		t.Errorf("update --now: %+v, %v", done, err)
	}
}

func TestClockThatIsSetBackLocksNobodyOut(t *testing.T) {
	for name, back := range map[string]time.Duration{"by decades": 30 * 365 * 24 * time.Hour, "by an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			c := &clock{now: time.Now().Add(back)} // for the repository is not valid before its time
			f.update(t)
			f.boot(t, partitions.SlotB)
			f.boot(t, partitions.SlotA)
			_, err := f.at(t, c, nil).Judge(t.Context())
			check(t, err)
			c.now = c.now.Add(-back)
			if done, err := f.at(t, c, nil).Update(t.Context(), updater.UpdateOptions{}); err != nil || done.Result != updater.ResultArmed {
				t.Errorf("update: %+v, %v", done, err)
			}
		})
	}
}

func TestNewerReleaseDoesNotWaitForAnother(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.boot(t, partitions.SlotA)
	f.judge(t)
	publishNext(t, f)
	if done, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{}); err != nil || done.Version != "1.2.0" {
		t.Errorf("update: %+v, %v", done, err)
	}
}
