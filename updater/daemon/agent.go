package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/logind"
)

// Agent is what the daemon asks of the host's updater. Each may be called again
// after it was cut. Check, Stage and Arm tell of their errors themselves.
type Agent interface {
	// Running is the release that runs, and its slot.
	Running(ctx context.Context) (manifests.Version, partitions.Slot, error)
	// Watch runs what is left of the watch after a commit.
	Watch(ctx context.Context) error
	// Check asks the repository what the channel names.
	Check(ctx context.Context) (Offer, error)
	// Stage installs it up to the point where only arming is missing.
	Stage(ctx context.Context) (Offer, error)
	// Arm makes the next boot try what is staged.
	Arm(ctx context.Context) (Offer, error)
	// TakeBack takes back what Arm did.
	TakeBack(ctx context.Context) error
	// RetryAfter is before when the next trial should not begin, and why; the zero
	// time if it may at once.
	RetryAfter(ctx context.Context) (time.Time, string, error)
}

// Offer is a release that the channel names.
type Offer struct {
	Version manifests.Version
	Release manifests.Digest
	News    bool // it is to be installed here
}

// What an error of an Agent is about decides when to try again. All other errors
// are tried again like a *NetworkError.
var (
	// ErrBusy says that another agent is at work.
	ErrBusy = errors.New("another proa-agent is at work")
	// ErrRefused says that there is nothing to be tried again: the release, or
	// how the host stands, has to change.
	ErrRefused = errors.New("refused")
	// ErrInterrupted says that Interrupt ended the work.
	ErrInterrupted = errors.New("interrupted")
)

// NetworkError is a repository that did not answer as it should.
type NetworkError struct {
	Err   error
	After time.Duration // which it asks to wait; 0 if it does not
}

// Error is the cause's.
func (e *NetworkError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *NetworkError) Unwrap() error { return e.Err }

// Rebooter reboots the machine; logind.Manager is one.
type Rebooter interface {
	// Inhibitors are those who block a reboot now.
	Inhibitors(ctx context.Context) ([]logind.Inhibitor, error)
	// Reboot begins one. It is a *logind.InhibitedError if somebody blocks it.
	Reboot(ctx context.Context, why string, forced bool) error
}
