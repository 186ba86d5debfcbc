package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
)

func newUnblockCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "unblock VERSION|DIGEST|--all",
		Short: "Let a release be installed again that failed here",
		Long: `Let a release be installed again that this host blocked after it failed. It is
named by its version or by the digest of its release.json (sha256:…), as
'status' shows them.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := updater.UnblockAll
			switch {
			case all && len(args) == 0:
			case !all && len(args) == 1 && args[0] != "":
				name = args[0]
			default:
				return cli.Usage(cmd, errors.New("want one version or digest, or --all"))
			}
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			done, err := u.Unblock(cmd.Context(), name)
			notes(cmd, done.Notes)
			if err != nil {
				return explain(cmd.Context(), err)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), done)
			}
			out := cmd.OutOrStdout()
			for _, b := range done.Unblocked {
				fmt.Fprintf(out, "%s may be installed again; it was blocked since %s: %s\n", orUnknown(b.Version), minute(b.When), b.Reason)
			}
			if len(done.Unblocked) == 0 {
				fmt.Fprintln(out, "nothing is blocked")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every blocked release")
	return cmd
}
