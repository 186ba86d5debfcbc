package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/logind"
	"github.com/proa-os/proa/updater/schedule"
)

// reboot is what is known about the one that is to come.
type reboot struct {
	release   manifests.Digest
	notBefore time.Time // the next attempt
	why       string    // it is not before then
	since     time.Time // since when inhibitors put it off; zero if they do not
	told      string    // the inhibitors that were told of
	backoff   schedule.Backoff
}

const (
	// inhibitorPause is how often inhibitors are asked for.
	inhibitorPause = time.Minute
	// rebootPatience is how long an orderly reboot may take to end the daemon.
	rebootPatience = 10 * time.Minute
	// takeBackPatience is how long the daemon may take to end for that.
	takeBackPatience = 20 * time.Second
)

// rebootOnce arms what is staged and reboots, or says when to try again.
func (d *Daemon) rebootOnce(ctx context.Context) {
	err := d.work(ctx, Arming, d.armAndReboot)
	var later *laterError
	switch {
	case ctx.Err() != nil:
		return
	case err == nil:
		d.reboot.backoff.Succeeded()
	case errors.Is(err, ErrInterrupted):
		d.ready = nil // whoever interrupted it wants no reboot
	case errors.As(err, &later):
		d.reboot.notBefore, d.reboot.why = later.until, later.why
	default:
		d.reboot.notBefore = d.Now().Round(0).Add(d.reboot.backoff.Failed(0))
		d.reboot.why = oneLine(err)
	}
}

// laterError is a reboot that is not to be tried yet.
type laterError struct {
	until time.Time
	why   string
}

func (e *laterError) Error() string { return e.why }

func (d *Daemon) armAndReboot(ctx context.Context) error {
	at, why, err := d.agent.RetryAfter(ctx)
	if err != nil {
		d.failed("status", err)
		return err
	}
	if at.After(d.Now()) {
		return &laterError{at, why}
	}
	forced, err := d.askInhibitors(ctx)
	if err != nil {
		return err
	}
	armed, err := d.agent.Arm(ctx)
	switch {
	case errors.Is(err, ErrBusy):
		return &laterError{d.Now().Add(busyPause), oneLine(err)}
	case errors.Is(err, ErrRefused):
		return &laterError{d.nextPoll, oneLine(err)}
	case err != nil:
		d.takeBack(ctx)
		return err
	case !armed.News:
		d.ready = nil
		return nil
	}
	if now := d.Now(); !d.windows.Open(now) {
		d.takeBack(ctx)
		return &laterError{now, "the window closed before the machine could be rebooted"}
	}
	if err := d.askHooks(ctx, forced); err != nil {
		d.takeBack(ctx)
		return err
	}
	d.reboot.since, d.reboot.told = time.Time{}, ""
	return d.leave(ctx, armed, forced)
}

// askHooks lets whatever hangs on the reboot put it off, as inhibitors may.
func (d *Daemon) askHooks(ctx context.Context, forced bool) error {
	err := d.Hooks.Run(ctx, hooks.RebootBefore)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	d.Events.Event(events.Event{Kind: events.HookFailed, Text: oneLine(err), Fields: map[string]string{events.Unit: string(hooks.RebootBefore)}})
	if !forced {
		_, err = d.deferred(err.Error())
		return err
	}
	return nil
}

// askInhibitors puts the reboot off while somebody blocks it, but not for ever:
// forced says that it has been long enough.
func (d *Daemon) askInhibitors(ctx context.Context) (forced bool, err error) {
	blocking, err := d.Rebooter.Inhibitors(ctx)
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case err != nil:
		return d.deferred(err.Error()) // who cannot be asked may block it
	case len(blocking) > 0:
		return d.deferred(list(blocking))
	}
	return false, nil
}

// deferred notes that the reboot is blocked. It is a *laterError until the
// deferral has lasted as long as the settings allow.
func (d *Daemon) deferred(by string) (forced bool, err error) {
	now := d.Now().Round(0)
	if d.reboot.since.IsZero() || d.reboot.since.After(now) {
		d.reboot.since = now
	}
	until := d.reboot.since.Add(time.Duration(d.settings.RebootDeferral))
	if !now.Before(until) {
		return true, nil
	}
	if d.reboot.told != by {
		d.reboot.told = by
		d.Events.Event(events.Event{Kind: events.RebootDeferred, Version: d.ready.Version, Text: by,
			Fields: map[string]string{events.Until: until.UTC().Format(time.RFC3339)}})
	}
	again := now.Add(inhibitorPause)
	if until.Before(again) {
		again = until
	}
	return false, &laterError{again, fmt.Sprintf("until %s at most, for %s", until.UTC().Format(time.RFC3339), by)}
}

func list(blocking []logind.Inhibitor) string {
	var all []string
	for _, i := range blocking {
		all = append(all, i.String())
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// leave reboots into the armed trial. If that does not come about, the trial is
// taken back: a reboot at another time must not begin it.
func (d *Daemon) leave(ctx context.Context, armed Offer, forced bool) error {
	why := fmt.Sprintf("rebooting to try release %s", armed.Version)
	d.Events.Event(events.Event{Kind: events.Rebooting, Version: armed.Version, Text: "a trial begins"})
	d.doing(Rebooting, string(armed.Version))
	err := d.Rebooter.Reboot(ctx, why, forced)
	var inhibited *logind.InhibitedError
	switch {
	case errors.As(err, &inhibited):
		// Somebody came in between.
		_, later := d.deferred(inhibited.Err.Error())
		d.takeBack(ctx)
		return later
	case err != nil:
		d.failed("reboot", err)
		d.takeBack(ctx)
		return err
	}
	timer := time.NewTimer(rebootPatience)
	defer timer.Stop()
	// That it takes long is no hang of the daemon.
	defer d.Manager.Quiet(rebootPatience + time.Minute)()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	err = fmt.Errorf("the reboot did not come about within %s", rebootPatience)
	d.failed("reboot", err)
	d.takeBack(ctx)
	return err
}

// takeBack works also when the daemon is being ended. What it takes back is to
// be staged again.
func (d *Daemon) takeBack(ctx context.Context) {
	d.ready = nil
	d.nextPoll = d.Now().Round(0).Add(busyPause)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackPatience)
	defer cancel()
	if err := d.agent.TakeBack(ctx); err != nil {
		d.failed("take back the trial", err)
	}
}

// prepare is for a release that was staged.
func (r *reboot) prepare(release manifests.Digest) {
	if r.release != release {
		*r = reboot{release: release, backoff: r.backoff}
		r.backoff.Succeeded()
	}
}
