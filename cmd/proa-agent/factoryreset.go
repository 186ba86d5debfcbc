package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
)

func newFactoryResetCommand() *cobra.Command {
	var yes, cancel, reboot bool
	cmd := &cobra.Command{
		Use:   "factory-reset {--yes [--reboot] | --cancel}",
		Short: "Forget all that this machine has made its own, with the next boot",
		Long: `Make the next boot forget /var and, with it, all that this machine changed in
/etc: keys, machine-id, passwords, data, logs. The machine then is as one that
was installed a moment ago, with the release that runs now, and is configured
anew by what it was installed with. Which slot leads and which releases are
blocked stays.

Until that boot nothing is lost, and --cancel withdraws it. A power cut during
that boot leaves either the old /var, and the next boot begins again, or the new
one.

The disk that is cloned between this command and that boot becomes machines that
are strangers to each other.`,
		Example: `  proa-agent factory-reset --yes --reboot
  proa-agent factory-reset --cancel`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case cancel && (yes || reboot):
				return cli.Usage(cmd, errors.New("want --yes or --cancel, not both"))
			case !cancel && !yes:
				return cli.Exit(cli.ExitUsage, cli.Hint(
					errors.New("a factory reset forgets everything in /var and every change to /etc"),
					"say --yes if that is meant"))
			}
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			do := u.RequestFactoryReset
			if cancel {
				do = u.CancelFactoryReset
			}
			done, err := do(cmd.Context())
			notes(cmd, done.Notes)
			if err != nil {
				return explain(cmd.Context(), err)
			}
			if err := printFactoryReset(cmd, done, cancel); err != nil || !reboot {
				return err
			}
			return u.Reboot(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "forget it all")
	cmd.Flags().BoolVar(&cancel, "cancel", false, "withdraw what was asked for")
	cmd.Flags().BoolVar(&reboot, "reboot", false, "reboot at once")
	return cmd
}

func printFactoryReset(cmd *cobra.Command, done updater.FactoryReset, cancelled bool) error {
	if cli.JSON(cmd) {
		if cancelled {
			done.Requested = nil
		}
		return cli.PrintJSON(cmd.OutOrStdout(), done)
	}
	text := "the next boot forgets /var and the changes to /etc; 'proa-agent factory-reset --cancel' withdraws it"
	switch {
	case cancelled && done.Requested != nil:
		text = "the next boot forgets nothing"
	case cancelled:
		text = "no factory reset was asked for"
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
