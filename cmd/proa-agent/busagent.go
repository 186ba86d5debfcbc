package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/bus"
	"github.com/proa-os/proa/updater/daemon"
	"github.com/proa-os/proa/updater/logind"
	"github.com/proa-os/proa/updater/notify"
)

// turn is held by who works: the daemon's loop and the jobs of the bus work one
// after the other.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for it.
func (t turn) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// busAgent is the daemon as the bus sees it.
type busAgent struct {
	*faces
	turn    turn
	daemon  *daemon.Daemon
	manager *notify.Manager
	run     string // the agent's folder for what does not outlive a boot
}

// Check implements bus.Agent.
func (a busAgent) Check(ctx context.Context) (any, error) {
	return a.work(ctx, func(u *updater.Updater) (any, error) { return result(u.Check(ctx)) })
}

// Update implements bus.Agent. Without a wish for more it goes as far as the
// daemon would, which then reboots as its policy says.
func (a busAgent) Update(ctx context.Context, options bus.UpdateOptions) (any, error) {
	defer a.daemon.PollNow()
	return a.work(ctx, func(u *updater.Updater) (any, error) {
		windows, err := daemon.Windows(u.Settings)
		if err != nil {
			return nil, err
		}
		stage := options.Stage || !options.Now && !windows.Open(time.Now())
		return result(u.Update(ctx, updater.UpdateOptions{RetryBlocked: options.RetryBlocked, Stage: stage, Now: options.Now && !stage}))
	})
}

// Cancel implements bus.Agent.
func (a busAgent) Cancel(ctx context.Context) (any, error) {
	a.daemon.Drop()
	a.daemon.Interrupt()
	return a.work(ctx, func(u *updater.Updater) (any, error) { return result(u.Cancel(ctx)) })
}

// Unblock implements bus.Agent.
func (a busAgent) Unblock(ctx context.Context, release string) error {
	_, err := a.work(ctx, func(u *updater.Updater) (any, error) { return result(u.Unblock(ctx, release)) })
	return err
}

// rollbackUnit runs "proa-agent rollback --json" and leaves what it prints in
// the files of that name. Migrations are programs of the release, which the
// daemon's sandbox is not made for.
const rollbackUnit = "proa-rollback"

// Rollback implements bus.Agent.
func (a busAgent) Rollback(ctx context.Context, options bus.RollbackOptions) (any, error) {
	const most = time.Hour
	a.daemon.Drop()
	done, err := a.work(ctx, func(*updater.Updater) (any, error) {
		defer a.manager.Quiet(most)()
		return a.runUnit(ctx, rollbackUnit)
	})
	if err != nil || !options.Reboot {
		return done, err
	}
	return done, logind.Manager{}.Reboot(ctx, "rebooting to go back to the other release", false)
}

func (a busAgent) work(ctx context.Context, run func(*updater.Updater) (any, error)) (any, error) {
	giveBack, err := a.turn.take(ctx)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	u, _ := a.current()
	return run(u)
}

// result leaves out what an error comes with.
func result[T any](done T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return done, nil
}

// runUnit starts a service of one command and waits until it has ended. When
// ctx ends beforehand the service is stopped.
func (a busAgent) runUnit(ctx context.Context, name string) (any, error) {
	const outputMost = 64 << 10
	unit := name + ".service"
	started := exec.CommandContext(ctx, "systemctl", "start", unit)
	started.Cancel = func() error { return exec.Command("systemctl", "stop", unit).Run() }
	said, err := started.CombinedOutput()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err == nil {
		text, err := regular.Read(filepath.Join(a.run, name+".json"), outputMost)
		return json.RawMessage(text), err
	}
	status, _ := exec.CommandContext(ctx, "systemctl", "show", "--value", "--property=ExecMainStatus", unit).Output()
	if told, err := regular.Read(filepath.Join(a.run, name+".err"), outputMost); err == nil && len(told) > 0 {
		said = told
	}
	return nil, unitError(string(bytes.TrimSpace(status)), said)
}

// unitError is the error of a command that ended with an exit code.
func unitError(code string, said []byte) error {
	text := bytes.TrimPrefix(bytes.TrimSpace(said), []byte("error: "))
	text, _, _ = bytes.Cut(text, []byte("\nhint: "))
	err := errors.New(string(text))
	switch code {
	case fmt.Sprint(exitRefused):
		return &updater.Refusal{Reason: err.Error()}
	case fmt.Sprint(exitUntrusted):
		return &updater.UntrustedError{Err: err}
	case fmt.Sprint(exitBusy):
		return updater.ErrBusy
	}
	return err
}
