package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/proa-os/proa/updater"
)

// The results of a job; those of one that did not succeed are also the last
// words of its error's name.
const (
	Done      = "Done"
	Refused   = "Refused"   // as exit code 3 of the commands
	Untrusted = "Untrusted" // 4
	Busy      = "Busy"      // 6
	Network   = "Network"   // 7
	Cancelled = "Cancelled"
	Failed    = "Failed"
)

const (
	errorPrefix  = "org.proa.Agent1.Error."
	accessDenied = "org.freedesktop.DBus.Error.AccessDenied"
	interactive  = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
	invalidArgs  = "org.freedesktop.DBus.Error.InvalidArgs"
	tooMany      = "org.freedesktop.DBus.Error.LimitsExceeded"
)

// resultOf names what became of a job.
func resultOf(err error) string {
	var refusal *updater.Refusal
	var untrusted *updater.UntrustedError
	var network *updater.NetworkError
	switch {
	case err == nil:
		return Done
	case errors.Is(err, updater.ErrBusy):
		return Busy
	case errors.As(err, &refusal):
		return Refused
	case errors.As(err, &untrusted):
		return Untrusted
	case errors.Is(err, context.Canceled), errors.Is(err, errCancelled):
		return Cancelled
	case errors.As(err, &network):
		return Network
	}
	return Failed
}

func busError(err error) *dbus.Error {
	return named(errorPrefix+resultOf(err), "%v", err)
}

func invalid(format string, args ...any) *dbus.Error { return named(invalidArgs, format, args...) }

func named(name, format string, args ...any) *dbus.Error {
	return dbus.NewError(name, []any{fmt.Sprintf(format, args...)})
}
