// Package updater is what proa-agent does on a host: it finds out what the
// channel offers, writes it into the slot that does not run, arms a trial,
// judges the trial, and commits it or goes back.
//
// An Updater is made with New. Check, Plan, Update, Cancel, Unblock, Commit, Rollback,
// Recover, Repair, Judge, Watch, Deadline and Status are what the agent's commands call.
// Every one that writes takes the host's lock and first recovers from whatever
// was cut before. OrderOfWrites is an update, step by step; package lifecycle is
// where a machine can stand, and what recovery makes of it.
//
// What must hold at every moment: the committed slot is complete, verified and
// once booted healthy. Nothing here ever writes to the running slot, only Repair
// to the committed one, and the partition table is only read.
package updater

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/stick"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/hostfs"
)

// Config is what an Updater needs.
type Config struct {
	Host     Host     // required; see DefaultHost
	Settings Settings // required; see LoadSettings

	// From is a repository at hand, which is asked in place of the one that is
	// configured. Whoever opened it closes it. Optional.
	From *stick.Stick

	// Version of the program, for its user agent. Optional.
	Version string
	// Patience is how much the repository's server may try it. Optional.
	Patience fetch.Patience
	// Progress is told about the long steps; nil means nobody is.
	Progress progress.Reporter

	// FS is what everything on disk and ESP is written through; nil means the
	// real file system.
	FS hostfs.FS
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wait waits, or ends with ctx and its cause; nil means for real.
	Wait func(ctx context.Context, d time.Duration) error

	// Events is told what happens to releases; nil means nobody is.
	Events events.Sink

	// Hooks lets other services act before and after; nil means that nothing
	// hangs on them.
	Hooks hooks.Runner

	// Sandboxed says that migrations cannot run in this process: the next boot
	// does what Cancel leaves.
	Sandboxed bool
}

// Updater does the work of one host.
type Updater struct {
	Config
	fetch *fetch.Client
	limit *fetch.Limiter // of all that comes from the network
}

// New checks the configuration; it touches nothing.
func New(config Config) (*Updater, error) {
	if config.Progress == nil {
		config.Progress = progress.Silent()
	}
	if config.FS == nil {
		config.FS = hostfs.OS{}
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Wait == nil {
		config.Wait = wait
	}
	if config.Events == nil {
		config.Events = events.Silent()
	}
	if config.Hooks == nil {
		config.Hooks = hooks.None()
	}
	config.lookAt()
	limit := fetch.NewLimiter(int64(config.Settings.RateLimit))
	client, err := config.client(limit)
	if err != nil {
		return nil, err
	}
	return &Updater{Config: config, fetch: client, limit: limit}, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func (u *Updater) now() time.Time { return u.Now().UTC().Truncate(time.Second) }

// ErrBusy says that another agent holds the host's lock.
var ErrBusy = errors.New("another proa-agent is running")

// Refusal is an update that was not begun, because of what it is or of how the
// host stands.
type Refusal struct {
	Version manifests.Version // empty when it is not about a release
	Reason  string
}

// Error is the version and the reason.
func (r *Refusal) Error() string {
	if r.Version == "" {
		return r.Reason
	}
	return fmt.Sprintf("release %s: %s", r.Version, r.Reason)
}

func refuse(v manifests.Version, format string, args ...any) error {
	return &Refusal{v, fmt.Sprintf(format, args...)}
}

// UntrustedError is metadata or content that is not what the trusted keys
// signed.
type UntrustedError struct{ Err error }

// Error says what is not trusted.
func (e *UntrustedError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *UntrustedError) Unwrap() error { return e.Err }

// NetworkError is a repository that could not be reached or did not answer as
// it should; a later attempt may succeed.
type NetworkError struct{ Err error }

// Error says what failed.
func (e *NetworkError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *NetworkError) Unwrap() error { return e.Err }

// step is one named step of a longer work.
type step struct {
	name string
	run  func(context.Context) error
}

// runSteps runs them in order and prefixes an error with the step's name.
func runSteps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
