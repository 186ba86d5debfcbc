// Package logind reboots the machine through org.freedesktop.login1, so that
// whoever must not be interrupted can say so (systemd-inhibit(1)): those that
// delay get their time from logind, those that block are listed by Inhibitors.
// Where there is no logind the service manager is asked directly.
//
// The calls are those of org.freedesktop.login1(5), systemd 246 and later.
package logind

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	service = "org.freedesktop.login1"
	path    = dbus.ObjectPath("/org/freedesktop/login1")
	manager = "org.freedesktop.login1.Manager."

	// patience is how long an answer may take: logind answers before it begins.
	patience = 30 * time.Second
)

// Inhibitor is somebody who blocks a reboot.
type Inhibitor struct {
	Who string `json:"who"`
	Why string `json:"why"`
	UID uint32 `json:"uid"`
	PID uint32 `json:"pid"`
}

// String is who and why.
func (i Inhibitor) String() string { return fmt.Sprintf("%s: %s (pid %d)", i.Who, i.Why, i.PID) }

// InhibitedError is a reboot that somebody blocks.
type InhibitedError struct{ Err error }

// Error says that it is blocked.
func (e *InhibitedError) Error() string { return "reboot is inhibited: " + e.Err.Error() }

// Unwrap is logind's answer.
func (e *InhibitedError) Unwrap() error { return e.Err }

// Manager is the host's logind. The zero value is usable.
type Manager struct {
	// Connect makes a connection to the system bus; nil means the usual one.
	Connect func(context.Context) (*dbus.Conn, error)
	// Direct reboots without logind; nil means "systemctl reboot".
	Direct func(context.Context) error
}

// errAbsent says that there is no logind on this host.
var errAbsent = errors.New("there is no logind")

// Inhibitors are those who block a reboot now.
func (m Manager) Inhibitors(ctx context.Context) (blocking []Inhibitor, err error) {
	err = m.ask(ctx, func(ctx context.Context, object dbus.BusObject) error {
		var all []struct {
			What, Who, Why, Mode string
			UID, PID             uint32
		}
		if err := object.CallWithContext(ctx, manager+"ListInhibitors", 0).Store(&all); err != nil {
			return err
		}
		for _, i := range all {
			// block-weak, of systemd 257, stops only who has no privileges.
			if i.Mode == "block" && slices.Contains(strings.Split(i.What, ":"), "shutdown") {
				blocking = append(blocking, Inhibitor{i.Who, i.Why, i.UID, i.PID})
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errAbsent):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("asking logind who inhibits a reboot: %w", err)
	}
	return blocking, nil
}

// The flags of RebootWithFlags.
const (
	rootCheckInhibitors uint64 = 1 << 0
	skipInhibitors      uint64 = 1 << 4 // systemd 257
)

// Reboot begins an orderly reboot and returns when it has begun. Everybody who
// is logged in is told why. One that somebody blocks is an *InhibitedError,
// unless forced.
func (m Manager) Reboot(ctx context.Context, why string, forced bool) error {
	err := m.ask(ctx, func(ctx context.Context, object dbus.BusObject) error {
		// That nobody is told is no reason not to reboot.
		_ = object.CallWithContext(ctx, manager+"SetWallMessage", 0, why, true).Err
		if !forced {
			return inhibited(object.CallWithContext(ctx, manager+"RebootWithFlags", 0, rootCheckInhibitors).Err)
		}
		err := object.CallWithContext(ctx, manager+"RebootWithFlags", 0, skipInhibitors).Err
		if is(err, "org.freedesktop.DBus.Error.InvalidArgs") {
			// Before systemd 257 root does not heed them unless it says so.
			err = object.CallWithContext(ctx, manager+"RebootWithFlags", 0, uint64(0)).Err
		}
		return err
	})
	var blocked *InhibitedError
	switch {
	case errors.Is(err, errAbsent):
		return m.direct(ctx)
	case errors.As(err, &blocked):
		return err
	case err != nil:
		return fmt.Errorf("asking logind for a reboot: %w", err)
	}
	return nil
}

// inhibited tells logind's refusal from other errors. Access is denied to root
// for that reason only.
func inhibited(err error) error {
	if is(err, "org.freedesktop.login1.BlockedByInhibitorLock", "org.freedesktop.DBus.Error.AccessDenied") {
		return &InhibitedError{err}
	}
	return err
}

func is(err error, names ...string) bool {
	var answer dbus.Error
	return errors.As(err, &answer) && slices.Contains(names, answer.Name)
}

// ask asks logind over a connection of its own: one that was kept would not
// outlive the bus, and costs memory all the time.
func (m Manager) ask(ctx context.Context, question func(context.Context, dbus.BusObject) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it did not answer in time"))
	defer cancel()
	connect := m.Connect
	if connect == nil {
		connect = func(ctx context.Context) (*dbus.Conn, error) { return dbus.ConnectSystemBus(dbus.WithContext(ctx)) }
	}
	conn, err := connect(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errAbsent, err)
	}
	defer conn.Close()
	err = question(ctx, conn.Object(service, path))
	switch {
	case is(err, "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner"):
		return fmt.Errorf("%w: %w", errAbsent, err)
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// direct asks the service manager.
func (m Manager) direct(ctx context.Context) error {
	if m.Direct != nil {
		return m.Direct(ctx)
	}
	out, err := exec.CommandContext(ctx, "systemctl", "reboot").CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl reboot: %w: %.200s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
