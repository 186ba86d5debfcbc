package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
)

func newRepoListCommand() *cobra.Command {
	var flags repoFlags
	cmd := &cobra.Command{
		Use:   "list [VERSION]",
		Short: "List releases, the channels that point to them, and the age of the metadata",
		Long: `List releases, the channels that point to them, and the age of the metadata. Of one
version also what its publisher says of it: release notes, which version hosts install
first, why it was retracted; and what others have attested of it, by which keys.`,
		Args: cli.MaximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			contents, err := repository.List(flags.dir)
			if err != nil {
				return repoHint(err)
			}
			if len(args) > 0 {
				version, err := manifests.ParseVersion(args[0])
				if err != nil {
					return cli.Usage(cmd, err)
				}
				contents.Releases = slices.DeleteFunc(contents.Releases, func(r repository.Entry) bool { return r.Version != version })
				if len(contents.Releases) == 0 {
					return repoHint(fmt.Errorf("version %s: %w", version, repository.ErrNoRelease))
				}
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), contents)
			}
			if err := printReleases(cmd, contents.Releases); err != nil {
				return err
			}
			if len(args) > 0 {
				return printNotices(cmd, contents.Releases)
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

func printReleases(cmd *cobra.Command, releases []repository.Entry) error {
	out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(out, "PRODUCT\tARCH\tVERSION\tSECURITY EPOCH\tFETCH\tINDEX\tDELTAS\tNOTICE\tCHANNELS")
	for _, r := range releases {
		fmt.Fprintf(out, "%s\t%s\t%s\t%d\t%.1f MB\t%.1f kB\t%s\t%s\t%s\n", r.Product, r.Arch, r.Version, r.SecurityEpoch, float64(r.FetchSize)/1e6,
			float64(r.IndexSize)/1e3, deltaTexts(r.Deltas), noticeText(r), strings.Join(r.Channels, " "))
	}
	return out.Flush()
}

// noticeText is what is to be known of a release before its channel is followed.
func noticeText(r repository.Entry) string {
	var text []string
	if r.Retracted != nil {
		text = append(text, "retracted")
	}
	if r.Requires != nil {
		text = append(text, "requires "+string(r.Requires.Version))
	}
	return strings.Join(text, ", ")
}

// printNotices writes what there is to say of releases in full.
func printNotices(cmd *cobra.Command, releases []repository.Entry) error {
	for _, r := range releases {
		lines := []string{"", fmt.Sprintf("%s %s %s, %s", r.Product, r.Version, r.Arch, r.Release)}
		if r.Retracted != nil {
			lines = append(lines, r.Retracted.String())
		}
		if r.Requires != nil {
			lines = append(lines, fmt.Sprintf("hosts below %s install that first", r.Requires.Version))
		}
		for _, a := range r.Attestations {
			var keys []string // as they call themselves
			for _, key := range a.Keys {
				keys = append(keys, inALine(key))
			}
			lines = append(lines, fmt.Sprintf("attested: %s, by %s", a.Type, strings.Join(keys, ", ")))
		}
		if r.Notes != "" {
			lines = append(lines, r.Notes)
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(lines, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// deltaTexts says from which versions there are deltas, and how large they are.
func deltaTexts(deltas []repository.DeltaEntry) string {
	var texts []string
	for _, d := range deltas {
		texts = append(texts, fmt.Sprintf("%s: %.2f MB", d.From, float64(d.Size)/1e6))
	}
	return strings.Join(texts, ", ")
}
