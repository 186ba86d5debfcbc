// Package hooks lets other services act at the turning points of an update:
// the agent starts a systemd target, and whatever hangs on that target runs.
// docs/reference/interfaces.md says when, and what a failure means.
//
// Nothing runs between the verification of a slot and the flip: the one before
// an update precedes its first write, and the one before the reboot follows the
// arming, after which nothing is decided any more.
package hooks

import (
	"context"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// Hook is a moment, by the name of its target.
type Hook string

// The hooks.
const (
	UpdateBefore Hook = "proa-update-before.target" // may refuse
	UpdateAfter  Hook = "proa-update-after.target"
	RebootBefore Hook = "proa-reboot-before.target" // may put off
	Committed    Hook = "proa-committed.target"
	WentBack     Hook = "proa-went-back.target"
)

// All lists them.
func All() []Hook { return []Hook{UpdateBefore, UpdateAfter, RebootBefore, Committed, WentBack} }

// Runner starts what hangs on a hook.
type Runner interface {
	// Run starts it and waits until all has started: for the hooks that may
	// refuse. The error says what did not.
	Run(ctx context.Context, hook Hook) error
	// Announce starts it and does not wait.
	Announce(ctx context.Context, hook Hook) error
}

// None is a Runner on which nothing hangs.
func None() Runner { return none{} }

type none struct{}

func (none) Run(context.Context, Hook) error      { return nil }
func (none) Announce(context.Context, Hook) error { return nil }

// Limit is how long Run waits by default; a service's own TimeoutStartSec= is
// usually shorter.
const Limit = 10 * time.Minute

// Systemd is the Runner of a host.
type Systemd struct {
	// Connect makes a private connection to the system bus; nil means the
	// usual one.
	Connect func(context.Context) (*dbus.Conn, error)
	// Limit is how long Run waits; 0 means Limit.
	Limit time.Duration
}

const (
	service = "org.freedesktop.systemd1"
	manager = service + ".Manager"
	path    = dbus.ObjectPath("/org/freedesktop/systemd1")

	patience = 20 * time.Second // for systemd to take a job
)

// Run implements Runner. A job that takes too long is cancelled.
func (s Systemd) Run(ctx context.Context, hook Hook) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", hook, err)
	}
	defer conn.Close()
	removed := make(chan *dbus.Signal, 64)
	conn.Signal(removed)
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(service), dbus.WithMatchInterface(manager), dbus.WithMatchMember("JobRemoved")); err != nil {
		return fmt.Errorf("%s: %w", hook, err)
	}
	// Without it, systemd sends no signals when nobody else listens.
	if err := conn.Object(service, path).CallWithContext(ctx, manager+".Subscribe", 0).Err; err != nil {
		return fmt.Errorf("%s: %w", hook, err)
	}
	job, err := start(ctx, conn, hook)
	if err != nil {
		return err
	}
	limit := s.Limit
	if limit == 0 {
		limit = Limit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not started within %s", limit))
	defer cancel()
	for {
		select {
		case signal, open := <-removed:
			if !open {
				return fmt.Errorf("%s: the system bus went away", hook)
			}
			result, ours := resultOf(signal, job)
			if ours && result != "done" {
				return fmt.Errorf("%s: %s", hook, result)
			}
			if ours {
				return nil
			}
		case <-ctx.Done():
			late, stop := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer stop()
			conn.Object(service, job).CallWithContext(late, service+".Job.Cancel", 0)
			return fmt.Errorf("%s: %w", hook, context.Cause(ctx))
		}
	}
}

// Announce implements Runner.
func (s Systemd) Announce(ctx context.Context, hook Hook) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", hook, err)
	}
	defer conn.Close()
	_, err = start(ctx, conn, hook)
	return err
}

func (s Systemd) connect(ctx context.Context) (*dbus.Conn, error) {
	if s.Connect != nil {
		return s.Connect(ctx)
	}
	return dbus.ConnectSystemBus(dbus.WithContext(context.WithoutCancel(ctx)))
}

// start queues the target's start and returns the job
// (org.freedesktop.systemd1(5), StartUnit).
func start(ctx context.Context, conn *dbus.Conn, hook Hook) (job dbus.ObjectPath, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := conn.Object(service, path).CallWithContext(ctx, manager+".StartUnit", 0, string(hook), "replace").Store(&job); err != nil {
		return "", fmt.Errorf("%s: %w", hook, err)
	}
	return job, nil
}

// resultOf reads JobRemoved(u id, o job, s unit, s result).
func resultOf(signal *dbus.Signal, job dbus.ObjectPath) (result string, ours bool) {
	var id uint32
	var removed dbus.ObjectPath
	var unit string
	if signal.Name != manager+".JobRemoved" || dbus.Store(signal.Body, &id, &removed, &unit, &result) != nil {
		return "", false
	}
	return result, removed == job
}
