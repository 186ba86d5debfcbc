package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/repository"
)

func newRepoListCommand() *cobra.Command {
	var flags repoFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List releases, the channels that point to them, and the age of the metadata",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			contents, err := repository.List(flags.dir)
			if err != nil {
				return repoHint(err)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), contents)
			}
			out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(out, "PRODUCT\tARCH\tVERSION\tFETCH\tCHANNELS")
			for _, r := range contents.Releases {
				fmt.Fprintf(out, "%s\t%s\t%s\t%.1f MB\t%s\n", r.Product, r.Arch, r.Version, float64(r.FetchSize)/1e6, strings.Join(r.Channels, " "))
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout()); err != nil {
				return err
			}
			return printMetadata(cmd, contents.Metadata)
		},
	}
	flags.addRepo(cmd)
	return cmd
}
