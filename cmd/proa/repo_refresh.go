package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/repository"
)

func newRepoRefreshCommand() *cobra.Command {
	var flags repoFlags
	cmd := &cobra.Command{
		Use:   "refresh",
		Short: "Sign a new timestamp, and what else is about to expire",
		Long: `Sign a new timestamp, and whatever else has less than a third of its lifetime
left. Hosts refuse metadata that has expired, so run this well within the
timestamp's lifetime. A role whose keys are not in the folder is left as it is
and reported as due.`,
		Example: "  proa repo refresh --repo repo --keys keys",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := flags.config(cmd)
			if err != nil {
				return err
			}
			refreshed, err := repository.Refresh(cmd.Context(), config)
			if err != nil {
				return repoHint(fmt.Errorf("refreshing %s: %w", flags.dir, err))
			}
			for _, role := range refreshed.Due {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s must be signed anew soon, and its keys are not in %s\n", role, flags.keys)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), refreshed)
			}
			return printMetadata(cmd, refreshed.Metadata)
		},
	}
	flags.addRepo(cmd)
	flags.addKeys(cmd)
	return cmd
}

func printMetadata(cmd *cobra.Command, metadata []repository.Metadata) error {
	for _, m := range metadata {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%-10s version %-4d valid until %s\n", m.Role, m.Version, m.Expires.Format(time.RFC3339))
		if err != nil {
			return err
		}
	}
	return nil
}
