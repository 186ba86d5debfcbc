// Package notify tells the service manager how the daemon is, by sd_notify(3):
// that it is ready, reloads or stops, what it does, and that it is alive.
//
// Alive means that work gets on: Feed passes a sign of life on only when
// somebody called Beat since the one before. So a loop that hangs is killed,
// and a download that takes hours is not. Without a service manager that
// listens nothing happens.
package notify

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/progress"
)

// Manager is the service manager, as far as it wants to know. Its methods may
// be called from several goroutines.
type Manager struct {
	beats atomic.Uint64
	quiet atomic.Int64 // until when nothing needs to get on, in Unix nanoseconds
}

// send tries once: who does not listen is no reason to stop working.
func send(state string) { _, _ = daemon.SdNotify(false, state) }

// Ready says that the start, or the reload, is done.
func (m *Manager) Ready() { send(daemon.SdNotifyReady) }

// Reloading says that the configuration is being read again; Ready ends it.
func (m *Manager) Reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return // Type=notify-reload wants the time, and no other kind minds its absence
	}
	send(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// Stopping says that the daemon ends.
func (m *Manager) Stopping() { send(daemon.SdNotifyStopping) }

// Status is what "systemctl status" shows, one line.
func (m *Manager) Status(text string) {
	send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// Beat says that work has got on.
func (m *Manager) Beat() { m.beats.Add(1) }

// Quiet allows work that cannot say that it gets on, for at most so long. The
// function that it returns ends that.
func (m *Manager) Quiet(most time.Duration) (end func()) {
	m.quiet.Store(time.Now().Add(most).UnixNano())
	return func() {
		m.quiet.Store(0)
		m.Beat()
	}
}

// Tick is how often Beat must be called at least, at most once a minute.
func (m *Manager) Tick() time.Duration {
	if limit := watchdog(); limit > 0 {
		return min(limit/4, time.Minute)
	}
	return time.Minute
}

// watchdog is the time after which the service manager kills a service that
// gives no sign of life; 0 if it does not.
func watchdog() time.Duration {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return limit
}

// Feed passes on signs of life until ctx ends. It returns at once when nobody
// waits for them.
func (m *Manager) Feed(ctx context.Context) {
	limit := watchdog()
	if limit == 0 {
		return
	}
	tick := time.NewTicker(max(limit/4, time.Millisecond))
	defer tick.Stop()
	for seen := uint64(0); ; {
		if beats := m.beats.Load(); beats != seen || time.Now().UnixNano() < m.quiet.Load() {
			seen = beats
			send(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Progress is to with a Beat for all that is reported.
func (m *Manager) Progress(to progress.Reporter) progress.Reporter { return reporter{m, to} }

type reporter struct {
	m  *Manager
	to progress.Reporter
}

func (r reporter) Step(name string, total int64) progress.Step {
	r.m.Beat()
	return step{r.m, r.to.Step(name, total)}
}

type step struct {
	m  *Manager
	to progress.Step
}

func (s step) Add(n int64) {
	if n > 0 {
		s.m.Beat()
	}
	s.to.Add(n)
}

func (s step) Done(err error) {
	s.m.Beat()
	s.to.Done(err)
}
