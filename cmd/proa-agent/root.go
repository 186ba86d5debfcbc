package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/fetch/stick"
	"github.com/proa-os/proa/manifests/strictyaml"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/config"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/journal"
)

// Exit codes beside those that all programs share (docs/reference/agent.md).
const (
	exitRefused   = 3  // the release or the host's standing does not allow it
	exitUntrusted = 4  // metadata or content is not what trusted keys signed
	exitWentBack  = 5  // the newest trial went back
	exitBusy      = 6  // another agent is running
	exitNetwork   = 7  // the repository cannot be reached
	exitAvailable = 10 // check: an update is available
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "proa-agent",
		Short: "Keep this host up to date, and take it back when an update fails",
		Long: `proa-agent installs the release that this host's channel names into the slot
that does not run. The next boot tries it once: if it proves healthy it leads
from then on, otherwise the machine is back on the old release by itself.

Exit codes: 0 done, 1 failed and safe to repeat, 2 usage or configuration,
3 refused, 4 not trusted, 5 the newest trial went back, 6 another agent is
running, 7 repository not reachable, 10 (check only) an update is available.`,
		Example: `  proa-agent status
  proa-agent check
  proa-agent update --reboot`,
	}
	cli.AddOutputFlags(root)
	cli.AddVersion(root)
	root.PersistentFlags().String("host", "", "file that says where this host's files are, for tests")
	if err := root.PersistentFlags().MarkHidden("host"); err != nil {
		panic(err) // the flag was just made
	}
	root.AddCommand(
		newStatusCommand(),
		newCheckCommand(),
		newPlanCommand(),
		newUpdateCommand(),
		newCommitCommand(),
		newRollbackCommand(),
		newCancelCommand(),
		newUnblockCommand(),
		newRecoverCommand(),
		newRepairCommand(),
		newJudgeCommand(),
		newRunCommand(),
		newWatchCommand(),
		newBootControlCommand(),
		newEtcCommand(),
		newExtensionsCommand(),
		newFactoryResetCommand(),
		newRecoveryKeyCommand(),
		newConfigCommand(),
		newConfigureCommand(),
		cli.NewVersionCommand(),
		cli.NewManCommand(),
	)
	return root
}

// newUpdater is the updater of this host.
func newUpdater(cmd *cobra.Command) (*updater.Updater, error) { return newUpdaterWith(cmd, nil) }

// newUpdaterWith is newUpdater with a repository at hand, if there is one.
func newUpdaterWith(cmd *cobra.Command, from *stick.Stick) (*updater.Updater, error) {
	host, err := hostOf(cmd)
	if err != nil {
		return nil, err
	}
	sink := events.Silent() // a host of plain files has no journal of its own
	if host.ResetFile == "" {
		sink = events.Journal(events.JournalSocket, sink)
	}
	u, err := newUpdaterOf(updater.Config{Host: host, From: from, Progress: cli.Progress(cmd), Events: sink, Hooks: hooksOf(host)})
	if err != nil {
		return nil, configError(err)
	}
	return u, nil
}

// hostOf is where this host's files are.
func hostOf(cmd *cobra.Command) (updater.Host, error) {
	path, err := cmd.Flags().GetString("host")
	if err != nil || path == "" {
		return updater.DefaultHost(), err
	}
	host, err := updater.LoadHost(path)
	if err != nil {
		return updater.Host{}, configError(err)
	}
	return host, nil
}

func configError(err error) error {
	var faults *strictyaml.Faults
	switch {
	case errors.As(err, &faults):
		err = cli.Hint(err, "correct the configuration; see docs/reference/agent-config.md")
	case errors.Is(err, config.ErrNone):
		err = cli.Hint(err, "run it on a machine that was started from a release whose recipe has an update section")
	}
	return cli.Exit(cli.ExitUsage, err)
}

// explain gives an error of the updater its exit code and advice.
func explain(ctx context.Context, err error) error {
	var (
		refusal   *updater.Refusal
		untrusted *updater.UntrustedError
		network   *updater.NetworkError
	)
	switch {
	case err == nil, ctx.Err() != nil:
		return err
	case errors.Is(err, updater.ErrBusy):
		return cli.Exit(exitBusy, cli.Hint(err, "wait for it to end"))
	case errors.As(err, &refusal):
		return cli.Exit(exitRefused, cli.Hint(err, "the running release stays; see 'proa-agent status'"))
	case errors.As(err, &untrusted):
		return cli.Exit(exitUntrusted, cli.Hint(err, "nothing untrusted was installed; tell whoever runs the repository"))
	case errors.As(err, &network):
		return cli.Exit(exitNetwork, cli.Hint(err, "check the network and the repository's URL; what was downloaded is kept"))
	}
	return cli.Exit(cli.ExitError, err)
}

// wentBack is the error of a command that must not be silent about a trial
// that failed.
func wentBack(reason string) error {
	return cli.Exit(exitWentBack, fmt.Errorf("the newest trial went back: %s", reason))
}

// wentBackLast is wentBack when the newest trial is one that did.
func wentBackLast(last *journal.Result) error {
	if !updater.WentBack(last) {
		return nil
	}
	return wentBack(fmt.Sprintf("%s: %s", last.Version, last.Reason))
}

// notes tells on standard error what recovery found.
func notes(cmd *cobra.Command, lines []string) {
	for _, line := range lines {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", line)
	}
}
