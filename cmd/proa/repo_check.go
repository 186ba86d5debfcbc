package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
)

func newRepoCheckCommand() *cobra.Command {
	var flags repoFlags
	var sizes, strict bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a whole repository, or a mirror of one, as a stranger would",
		Long: `Check a whole repository, or a copy of one, as somebody would who knows nothing but
its first root: the metadata over all roots, every target and every artifact by digest,
what they say of each other. No keys are needed.

What hosts would refuse or miss is wrong, and makes the command end with 1. What does no
harm is noted: files that nothing signed refers to, channels that point to what is
retracted. With --strict that is wrong, too.`,
		Example: "  proa repo check --repo repo\n  proa repo check --repo /srv/mirror --sizes",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := repository.Check(cmd.Context(), repository.CheckConfig{Dir: flags.dir, SizesOnly: sizes, Progress: cli.Progress(cmd)})
			if err != nil {
				return repoHint(err)
			}
			if cli.JSON(cmd) {
				err = cli.PrintJSON(cmd.OutOrStdout(), found)
			} else {
				err = printChecked(cmd.OutOrStdout(), found, sizes)
			}
			if err != nil {
				return err
			}
			wrong := len(found.Wrong)
			if strict {
				wrong += len(found.Noted)
			}
			if wrong > 0 {
				return fmt.Errorf("%s: things that are wrong: %d", flags.dir, wrong)
			}
			return nil
		},
	}
	flags.addRepo(cmd)
	cmd.Flags().BoolVar(&sizes, "sizes", false, "compare the sizes of artifacts and do not read them")
	cmd.Flags().BoolVar(&strict, "strict", false, "end with 1 for what is noted, too")
	return cmd
}

func printChecked(out io.Writer, c repository.Checked, sizes bool) error {
	for _, list := range []struct {
		word     string
		findings []repository.Finding
	}{{"wrong", c.Wrong}, {"noted", c.Noted}} {
		for _, f := range list.findings {
			if _, err := fmt.Fprintf(out, "%s: %s: %s\n", list.word, inALine(f.Path), inALine(f.What)); err != nil {
				return err
			}
		}
	}
	read := "read"
	if sizes {
		read = "of which the sizes are compared"
	}
	_, err := fmt.Fprintf(out, "releases: %d\nchannels: %d\ntargets: %d read\nartifacts: %d of %.1f MB, %s\nsuperseded files: %d\n",
		c.Releases, c.Channels, c.Targets, c.Artifacts, float64(c.Size)/1e6, read, c.Superseded)
	for _, m := range c.Metadata {
		if err == nil && m.Role == signing.RoleTimestamp {
			_, err = fmt.Fprintf(out, "hosts take it until %s\n", m.Expires.UTC().Format("2006-01-02 15:04 MST"))
		}
	}
	return err
}

// inALine is a text that others may have written, such as a name in a mirror, quoted
// if it would move a terminal's cursor or look like another finding.
func inALine(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}
