package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/journal"
)

func newCommitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "commit",
		Short: "Let the release on trial lead, without asking the health checks",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			v, err := u.Commit(cmd.Context())
			return finish(cmd, v, err)
		},
	}
}

func newRollbackCommand() *cobra.Command {
	var reboot bool
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Go back to the release in the other slot",
		Long: `On a trial: end it, block its release, and let the next boot be the committed
slot. Otherwise: let the next boot try the release in the other slot, which leads
again if it proves healthy, and block the one that runs now. A blocked release is
installed again with 'update --retry-blocked', or by a newer one.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			v, err := u.Rollback(cmd.Context())
			if err != nil {
				return finish(cmd, v, err)
			}
			notes(cmd, v.Notes)
			if err := printVerdict(cmd, v); err != nil || !reboot {
				return err
			}
			return explain(cmd.Context(), u.Reboot(cmd.Context()))
		},
	}
	cmd.Flags().BoolVar(&reboot, "reboot", false, "reboot at once")
	return cmd
}

func newRecoverCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "recover",
		Short: "Tidy up after an update that was cut",
		Long: `Bring the host to a state that later work can start from. Every command that
writes does this first, so there is seldom a reason to run it by itself. Ends
with 5 when the newest trial is one that went back.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			found, err := u.Recover(cmd.Context())
			if err != nil {
				notes(cmd, found.Notes)
				return explain(cmd.Context(), err)
			}
			if cli.JSON(cmd) {
				if err := cli.PrintJSON(cmd.OutOrStdout(), found); err != nil {
					return err
				}
				return wentBackLast(found.Last)
			}
			if len(found.Notes) == 0 {
				found.Notes = []string{"nothing to recover"}
			}
			for _, line := range found.Notes {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return wentBackLast(found.Last)
		},
	}
}

func newJudgeCommand() *cobra.Command {
	var deadline bool
	cmd := &cobra.Command{
		Use:   "judge",
		Short: "Decide about the release on trial (run by the service manager)",
		Long: `Run the health checks of a release on trial and let it lead, or note why not,
block it, and reset the machine. Without a trial only tidy up and tell how the
newest one ended: the exit code is 5 when it went back.

With --deadline: reset a machine that is still on a trial.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if deadline {
				host, err := hostOf(cmd)
				if err != nil {
					return err
				}
				// Without the settings: a trial must not go on because of a fault in them.
				v, err := updater.DeadlineOf(host)
				return finish(cmd, v, err)
			}
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			v, err := u.Judge(cmd.Context())
			return finish(cmd, v, err)
		},
	}
	cmd.Flags().BoolVar(&deadline, "deadline", false, "reset the machine if the trial goes on still")
	return cmd
}

// finish prints a verdict and turns a trial that went back into an exit code.
func finish(cmd *cobra.Command, v updater.Verdict, err error) error {
	notes(cmd, v.Notes)
	if err != nil {
		return explain(cmd.Context(), err)
	}
	if err := printVerdict(cmd, v); err != nil {
		return err
	}
	switch {
	case v.Outcome == string(journal.WentBack):
		return wentBack(v.Reason)
	case v.Outcome == updater.OutcomeNone && v.Reason != "": // there was nothing to go back to
		return cli.Exit(cli.ExitError, errors.New(v.Reason))
	case v.Outcome == updater.OutcomeNone:
		return wentBackLast(v.Last)
	}
	return nil
}

func printVerdict(cmd *cobra.Command, v updater.Verdict) error {
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), v)
	}
	text := fmt.Sprintf("%s runs in slot %s: %s", v.Version, v.Slot, v.Standing)
	switch v.Outcome {
	case string(journal.Committed):
		text = fmt.Sprintf("%s leads now, in slot %s", v.Version, v.Slot)
	case string(journal.WentBack):
		text = fmt.Sprintf("%s in slot %s is given up: %s", v.Version, v.Slot, v.Reason)
	case updater.OutcomeCancelled:
		text = fmt.Sprintf("cancelled: %s in slot %s is given up", orUnknown(v.Version), v.Slot)
	case updater.ResultArmed:
		text = fmt.Sprintf("the next boot tries %s in slot %s", v.Version, v.Slot)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
