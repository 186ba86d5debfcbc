package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/daemon"
)

// hostAgent is the updater as the daemon sees it.
type hostAgent struct{ u *updater.Updater }

// Running implements daemon.Agent.
func (a hostAgent) Running(ctx context.Context) (manifests.Version, partitions.Slot, error) {
	status, err := a.u.Status(ctx, false)
	return status.Running.Version, status.Running.Slot, err
}

// Watch implements daemon.Agent.
func (a hostAgent) Watch(context.Context) error { return nil }

// Check implements daemon.Agent.
func (a hostAgent) Check(ctx context.Context) (daemon.Offer, error) {
	found, err := a.u.Check(ctx)
	return daemon.Offer{Version: found.Version, Release: found.Release, News: found.News}, sort(err)
}

// Stage implements daemon.Agent.
func (a hostAgent) Stage(ctx context.Context) (daemon.Offer, error) { return a.Check(ctx) }

// Arm implements daemon.Agent.
func (a hostAgent) Arm(ctx context.Context) (daemon.Offer, error) {
	done, err := a.u.Update(ctx, updater.UpdateOptions{})
	return daemon.Offer{Version: done.Version, Release: done.Release, News: done.Result == updater.ResultArmed}, sort(err)
}

// TakeBack implements daemon.Agent.
func (a hostAgent) TakeBack(context.Context) error { return errNotYet }

// RetryAfter implements daemon.Agent.
func (a hostAgent) RetryAfter(context.Context) (time.Time, string, error) {
	return time.Time{}, "", nil
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
