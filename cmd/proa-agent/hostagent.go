package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/config"
	"github.com/proa-os/proa/updater/daemon"
)

// hostAgent is the updater as the daemon sees it.
type hostAgent struct {
	u *updater.Updater
	// watchUnit is the service that runs "proa-agent watch"; empty means that
	// the daemon's own process does that.
	watchUnit string
	turn      turn
}

// Running implements daemon.Agent.
func (a hostAgent) Running(ctx context.Context) (manifests.Version, partitions.Slot, error) {
	status, err := a.u.Status(ctx, false)
	return status.Running.Version, status.Running.Slot, err
}

// Watch implements daemon.Agent. Health checks are programs of the machine's
// owner, which the daemon's sandbox is not made for.
func (a hostAgent) Watch(ctx context.Context) error {
	if a.watchUnit == "" {
		_, err := a.u.Watch(ctx)
		return err
	}
	out, err := exec.CommandContext(ctx, "systemctl", "start", "--wait", a.watchUnit).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl start %s: %w: %.200s", a.watchUnit, err, bytes.TrimSpace(out))
	}
	return nil
}

// Check implements daemon.Agent.
func (a hostAgent) Check(ctx context.Context) (daemon.Offer, error) {
	giveBack, err := a.turn.take(ctx)
	if err != nil {
		return daemon.Offer{}, err
	}
	defer giveBack()
	found, err := a.u.Check(ctx)
	if err == nil && !found.News && a.u.Settings.Policy != config.CheckOnly {
		err = a.u.CompleteExtensions(ctx)
	}
	return daemon.Offer{Version: found.Version, Release: found.Release, News: found.News}, sort(err)
}

// Stage implements daemon.Agent. A trial that somebody armed stays armed.
func (a hostAgent) Stage(ctx context.Context) (daemon.Offer, error) {
	status, err := a.u.Status(ctx, false)
	if err != nil {
		return daemon.Offer{}, err
	}
	if status.Pending != nil {
		offer, err := a.Check(ctx)
		offer.News = offer.News && offer.Version == status.Pending.Version
		return offer, err
	}
	return a.update(ctx, updater.UpdateOptions{Stage: true})
}

// Arm implements daemon.Agent.
func (a hostAgent) Arm(ctx context.Context) (daemon.Offer, error) {
	return a.update(ctx, updater.UpdateOptions{})
}

func (a hostAgent) update(ctx context.Context, options updater.UpdateOptions) (daemon.Offer, error) {
	giveBack, err := a.turn.take(ctx)
	if err != nil {
		return daemon.Offer{}, err
	}
	defer giveBack()
	done, err := a.u.Update(ctx, options)
	return offerOf(done), sort(err)
}

// TakeBack implements daemon.Agent. What is staged stays.
func (a hostAgent) TakeBack(ctx context.Context) error {
	giveBack, err := a.turn.take(ctx)
	if err != nil {
		return err
	}
	defer giveBack()
	_, err = a.u.Disarm(ctx)
	return err
}

// RetryAfter implements daemon.Agent.
func (a hostAgent) RetryAfter(ctx context.Context) (time.Time, string, error) {
	status, err := a.u.Status(ctx, false)
	if err != nil || status.RetryAfter == nil {
		return time.Time{}, "", err
	}
	return *status.RetryAfter, "its trial before came back without a verdict", nil
}

func offerOf(done updater.Updated) daemon.Offer {
	return daemon.Offer{Version: done.Version, Release: done.Release, News: done.Result == updater.ResultArmed || done.Result == updater.ResultStaged}
}

// sort tells the daemon what an error is about. It stays what it is for explain.
func sort(err error) error {
	var (
		network   *updater.NetworkError
		refusal   *updater.Refusal
		untrusted *updater.UntrustedError
	)
	switch {
	case errors.As(err, &network):
		return &daemon.NetworkError{Err: err, After: fetch.RetryAfter(err)}
	case errors.Is(err, updater.ErrBusy):
		return fmt.Errorf("%w%w", err, silent{daemon.ErrBusy})
	case errors.As(err, &refusal), errors.As(err, &untrusted):
		return fmt.Errorf("%w%w", err, silent{daemon.ErrRefused})
	}
	return err
}

// silent is an error that is there to be found, and not to be read.
type silent struct{ error }

func (silent) Error() string { return "" }

func (s silent) Unwrap() error { return s.error }
