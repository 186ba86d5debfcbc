package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
)

func newPlanCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "Say what an update would fetch, copy and patch",
		Long: `Say where an update would take the release from, part by part, and how many
bytes it would fetch. Nothing is written but trusted metadata, as by 'check'.
Ends with 10 when there is an update, 0 when the host is up to date, 3 when
it must not be installed here.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			found, err := u.Plan(cmd.Context())
			if found.Version == "" || err != nil && found.Refused == "" {
				return explain(cmd.Context(), err)
			}
			notes(cmd, found.Notes)
			if cli.JSON(cmd) {
				if err := cli.PrintJSON(cmd.OutOrStdout(), found); err != nil {
					return err
				}
			} else if err := printPlan(cmd.OutOrStdout(), found); err != nil {
				return err
			}
			if err != nil {
				return explain(cmd.Context(), err)
			}
			if found.News {
				return cli.Code(exitAvailable)
			}
			return nil
		},
	}
}

func printPlan(out io.Writer, p updater.Plan) error {
	if !p.News {
		if p.Refused == "" {
			fmt.Fprintf(out, "up to date: %s\n", p.Running)
		}
		return nil
	}
	fmt.Fprintf(out, "%s over %s, by %s: %s to fetch for an image of %s\n", p.Version, p.Running, p.Path, bytesText(p.Download.Total), bytesText(p.Size))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, part := range p.Parts {
		text := ""
		if part.Source != "" {
			text = fmt.Sprintf("%s from the %s", bytesText(part.Fetch), part.Source)
		}
		fmt.Fprintf(table, "  %s\t%s\t%d chunks\t%s\n", part.From, bytesText(part.Bytes), part.Chunks, text)
	}
	list := "chunk index"
	if p.Path == updater.PathDelta {
		list = "delta header"
	}
	fmt.Fprintf(table, "  %s\t\t\t%s\n", list, bytesText(p.Download.List))
	fmt.Fprintf(table, "  kernel image\t\t\t%s\n", bytesText(p.Download.Kernel))
	fmt.Fprintf(table, "  metadata\t\t\t%s\n", bytesText(p.Download.Metadata))
	if err := table.Flush(); err != nil {
		return err
	}
	if p.Toward != "" {
		fmt.Fprintf(out, "it comes before %s\n", p.Toward)
	}
	printReleaseNotes(out, p.ReleaseNotes, releaseNotesMost)
	return nil
}
