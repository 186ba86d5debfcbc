package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/fetch/stick"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater"
)

// newUpdaterFrom is newUpdater, with the export at path in place of the
// repository unless path is empty. The caller calls closeFrom at the end.
func newUpdaterFrom(cmd *cobra.Command, path string) (u *updater.Updater, closeFrom func(), err error) {
	if path == "" {
		u, err = newUpdater(cmd)
		return u, func() {}, err
	}
	found, err := stick.Open(path)
	if err != nil {
		err = fmt.Errorf("opening %s: %w", path, err)
		if errors.Is(err, stick.ErrNotRepository) {
			err = cli.Hint(err, "make one with 'proa repo export'")
		}
		return nil, nil, cli.Exit(cli.ExitError, err)
	}
	if u, err = newUpdaterWith(cmd, found); err != nil {
		found.Close()
		return nil, nil, err
	}
	return u, func() { found.Close() }, nil
}

// explainFrom is explain for an update from the export at path.
func explainFrom(ctx context.Context, path string, err error) error {
	explained := explain(ctx, err)
	if path == "" {
		return explained
	}
	const again = "export it again: 'proa repo refresh' makes signatures young, 'proa repo export' takes them along"
	switch {
	case errors.Is(err, signing.ErrExpired):
		explained = cli.Hint(err, again+"; or is the clock of this host ahead?")
	case errors.Is(err, signing.ErrClockBehind):
		explained = cli.Hint(err, "set the clock of this host")
	case errors.Is(err, signing.ErrRollback):
		explained = cli.Hint(err, "this host has seen a newer state of the repository; "+again)
	case errors.Is(err, signing.ErrSignature), errors.Is(err, signing.ErrRootChain):
		return explained
	case errors.As(err, new(*updater.UntrustedError)):
		explained = cli.Hint(err, "it is damaged or changed: nothing of that was installed, export it again")
	case errors.As(err, new(*updater.NetworkError)):
		explained = cli.Hint(err, "something is missing or cannot be read there: was it copied in full, and made for this version?")
	default:
		return explained
	}
	return cli.Exit(exitOf(err), explained)
}

// exitOf is the exit code that explain gives.
func exitOf(err error) int {
	if errors.As(err, new(*updater.UntrustedError)) {
		return exitUntrusted
	}
	return exitNetwork
}
