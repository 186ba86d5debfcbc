package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
)

func newCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel",
		Short: "Undo an update that was begun and not booted",
		Long: `Take back the trial of an update, give up the slot that it was written to, and
give back the space that it takes. A way back that 'rollback' armed is taken back
as well; both releases stay. A trial that runs is rolled back.

Ends with 0 also when there is nothing to cancel, and says so.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			v, err := u.Cancel(cmd.Context())
			notes(cmd, v.Notes)
			if err != nil {
				return explain(cmd.Context(), err)
			}
			if cli.JSON(cmd) || v.Outcome != updater.OutcomeNone {
				return printVerdict(cmd, v)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "nothing to cancel")
			return err
		},
	}
}
