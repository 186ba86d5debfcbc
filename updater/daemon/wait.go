package daemon

import (
	"context"
	"time"

	"github.com/proa-os/proa/updater/config"
)

// due is what there is to do.
type due int

const (
	dueEnd due = iota
	duePoll
	dueReboot
	dueReload
)

// look is how late it was when the daemon last looked at the clocks.
type look struct {
	wall time.Time // without a monotonic reading
	mono time.Time // with one
}

// jump is by how much more the clock on the wall has gone since the last look
// than time has passed: it was set, or the machine was suspended.
func (l *look) jump(wall time.Time) (jump time.Duration) {
	now := time.Now()
	if !l.mono.IsZero() {
		jump = wall.Sub(l.wall) - now.Sub(l.mono)
	}
	l.wall, l.mono = wall, now
	return jump
}

// wait waits for something to do. It looks at the clock on the wall at least
// once a minute, since that may be set at any time.
func (d *Daemon) wait(ctx context.Context) due {
	for {
		now := d.now()
		rebootAt := d.rebootAt(now)
		switch {
		case ctx.Err() != nil:
			return dueEnd
		case !now.Before(d.nextPoll):
			return duePoll
		case !rebootAt.IsZero() && !now.Before(rebootAt):
			return dueReboot
		}
		d.idle(now, rebootAt)
		d.Manager.Beat()
		sleep := min(d.nextPoll.Sub(now), d.Manager.Tick())
		if !rebootAt.IsZero() {
			sleep = min(sleep, rebootAt.Sub(now))
		}
		timer := time.NewTimer(sleep)
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-d.poll:
			d.nextPoll = d.Now().Round(0)
		case <-d.drop:
			d.ready = nil
		case <-d.reload:
			timer.Stop()
			return dueReload
		}
		timer.Stop()
	}
}

// now is the time on the wall. When that was set or the machine slept, polls are
// put where they would be had it always been so late; hosts that wake together
// do not ask together.
func (d *Daemon) now() time.Time {
	const noticeable = time.Minute
	now := d.Now().Round(0)
	jump := d.look.jump(now)
	switch pace := d.pace(); {
	case jump > noticeable && !now.Before(d.nextPoll):
		d.nextPoll = now.Add(pace.First())
	case jump < -noticeable && d.nextPoll.Sub(now) > pace.Every+pace.Jitter:
		d.nextPoll = now.Add(pace.Next())
	}
	return now
}

// rebootDue reports whether what is staged may be armed now.
func (d *Daemon) rebootDue(now time.Time) bool {
	at := d.rebootAt(now)
	return !at.IsZero() && !now.Before(at)
}

// rebootAt is when to arm what is staged and to reboot; zero if never.
func (d *Daemon) rebootAt(now time.Time) time.Time {
	if d.ready == nil || d.settings.Policy != config.Automatic {
		return time.Time{}
	}
	if d.reboot.notBefore.After(now) {
		now = d.reboot.notBefore
	}
	return d.windows.Opening(now)
}
