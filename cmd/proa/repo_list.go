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
			fmt.Fprintln(out, "PRODUCT\tARCH\tVERSION\tFETCH\tINDEX\tDELTAS\tCHANNELS")
			for _, r := range contents.Releases {
				fmt.Fprintf(out, "%s\t%s\t%s\t%.1f MB\t%.1f kB\t%s\t%s\n", r.Product, r.Arch, r.Version, float64(r.FetchSize)/1e6,
					float64(r.IndexSize)/1e3, deltaTexts(r.Deltas), strings.Join(r.Channels, " "))
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

// deltaTexts says from which versions there are deltas, and how large they are.
func deltaTexts(deltas []repository.DeltaEntry) string {
	var texts []string
	for _, d := range deltas {
		texts = append(texts, fmt.Sprintf("%s: %.2f MB", d.From, float64(d.Size)/1e6))
	}
	return strings.Join(texts, ", ")
}
