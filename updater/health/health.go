// Package health decides whether a release works: by executables of the release and
// of the host, by systemd units that must be active, and by URLs that must answer.
//
// Run waits until everything is well, and is what a trial is judged by and a
// release that leads already is watched with. Nothing here changes the machine,
// apart from what the executables themselves do.
package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// Config says what is checked.
type Config struct {
	Folders []string                // of executables; a later one hides names of earlier ones
	Checks  []manifests.HealthCheck // as manifests.CheckHealth accepts them
	Timeout time.Duration           // of one attempt of one check; required
	Limit   time.Duration           // of all attempts of all checks; required

	// Systemctl is the program that knows the units. Empty means that systemd does
	// not run here: no unit is then active, and no target waits.
	Systemctl string
	// Judge is the unit that runs the checks at boot: it does not wait for itself, nor for what
	// waits for it. Empty means proa-judge.service.
	Judge string

	Progress progress.Reporter // nil means that nobody is told
	Pause    time.Duration     // between two attempts; a second if 0
	// Settle is how long a service must have stayed active; 5 s if 0.
	Settle time.Duration
}

// Checks are the checks of a host. They remember what they saw, so that a
// service that restarts again and again is noticed from one use to the next.
type Checks struct {
	Config
	units map[string]*unit
	mu    sync.Mutex // guards units
}

// New makes Checks; it touches nothing.
func New(c Config) *Checks {
	c.Pause = cmp.Or(c.Pause, time.Second)
	c.Settle = cmp.Or(c.Settle, 5*time.Second)
	c.Judge = cmp.Or(c.Judge, "proa-judge.service")
	if c.Progress == nil {
		c.Progress = progress.Silent()
	}
	return &Checks{Config: c, units: map[string]*unit{}}
}

// check is one thing to find out.
type check struct {
	name    string
	timeout time.Duration // of one attempt
	limit   time.Duration // of all attempts
	// lasting says that the time for which it has been failing belongs to the reason.
	lasting bool
	attempt func(ctx context.Context) error
}

// Run tries every check again until it passes, or until its limit or the one
// for all of them is reached. Executables run one after another, folder by folder and by
// name; units and URLs are looked at meanwhile, and so are the units that
// boot-complete.target requires. The error names what did not pass, and
// why; it is that of ctx when ctx ended first.
func (c *Checks) Run(ctx context.Context) error {
	scripts, probes, err := c.all()
	if err != nil {
		return err
	}
	return c.run(ctx, scripts, append(probes, c.requiredByBoot()...))
}

// run gives up as soon as one check has.
func (c *Checks) run(caller context.Context, scripts, probes []check) error {
	ctx, cancel := context.WithTimeout(caller, c.Limit)
	defer cancel()
	lanes := [][]check{scripts}
	for _, probe := range probes {
		lanes = append(lanes, []check{probe})
	}
	failures := make([]error, len(lanes))
	var running sync.WaitGroup
	for i, lane := range lanes {
		running.Go(func() {
			for _, check := range lane {
				if failures[i] = c.pass(ctx, check); failures[i] != nil {
					cancel()
					return
				}
			}
		})
	}
	running.Wait()
	if caller.Err() != nil {
		return context.Cause(caller)
	}
	var reasons []string
	for _, failure := range failures {
		if failure != nil && !errors.Is(failure, errUndecided) {
			reasons = append(reasons, failure.Error())
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	return errors.New(strings.Join(reasons, "; "))
}

// errUndecided ends a check that was stopped because another has failed.
var errUndecided = errors.New("stopped")

// pass tries one check until it passes or its time is up.
func (c *Checks) pass(ctx context.Context, check check) error {
	name := "health check " + check.name
	step := c.Progress.Step(name, 0)
	err := c.try(ctx, check)
	if err != nil && !errors.Is(err, errUndecided) {
		err = fmt.Errorf("%s: %w", name, err)
	}
	step.Done(err)
	return err
}

func (c *Checks) try(all context.Context, check check) error {
	ctx, cancel := context.WithTimeout(all, check.limit)
	defer cancel()
	began := time.Now()
	var last error
	for {
		attempt, done := context.WithTimeout(ctx, check.timeout)
		err := check.attempt(attempt)
		done()
		if err == nil {
			return nil
		}
		// An attempt that the end of ctx cut short says less than the one before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
		case <-time.After(c.Pause):
			continue
		}
		switch {
		case errors.Is(all.Err(), context.Canceled):
			return errUndecided
		case check.lasting:
			return fmt.Errorf("%w for %d s", last, int64(time.Since(began).Round(time.Second).Seconds()))
		}
		return last
	}
}
