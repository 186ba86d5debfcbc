package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater/etc"
)

func newEtcCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "etc",
		Short: "Show and take back what this machine changed in /etc",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEtcDiffCommand(), newEtcResetCommand())
	return cmd
}

func newEtcDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff [PATH...]",
		Short: "Show what this machine changed in /etc",
		Long: `Show what this machine changed in /etc, compared with the running release. A
name that is changed hides what later releases bring under that name.

With paths, show the changes in these files line by line.`,
		Example: `  proa-agent etc diff
  proa-agent etc diff /etc/ssh/sshd_config`,
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, arg := range args {
				name := belowRoot(arg)
				ours, theirs, err := u.EtcContents(name)
				if err != nil {
					return explain(cmd.Context(), err)
				}
				if err := printContents(out, name, ours, theirs); err != nil {
					return err
				}
			}
			if len(args) > 0 {
				return nil
			}
			changes, err := u.EtcDiff()
			if err != nil {
				return explain(cmd.Context(), err)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(out, struct {
					Changes []etc.Change `json:"changes"`
				}{changes})
			}
			return printChanges(out, changes)
		},
	}
}

func newEtcResetCommand() *cobra.Command {
	var all, none bool
	var keep []string
	cmd := &cobra.Command{
		Use:   "reset {PATH... | --all [--keep PATH]... | --none}",
		Short: "Take changes in /etc back with the next boot",
		Long: `Take changes in /etc back with the next boot: what this machine has at the paths
and below them goes, and the release's own is seen again. A second call replaces
what the first asked for; --none withdraws it.

--all takes everything back, also what makes this machine known to others, such
as keys in /etc/ssh, machine-id and hostname: name with --keep what is to stay.`,
		Example: `  proa-agent etc reset /etc/ssh/sshd_config
  proa-agent etc reset --all --keep /etc/machine-id --keep /etc/ssh`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ways := 0
			for _, way := range []bool{len(args) > 0, all, none} {
				if way {
					ways++
				}
			}
			if ways != 1 || len(keep) > 0 && !all {
				return cli.Exit(cli.ExitUsage, errors.New("want paths, or --all with what to --keep, or --none"))
			}
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			var paths []string
			for _, arg := range args {
				paths = append(paths, belowRoot(arg))
			}
			if all {
				changes, err := u.EtcDiff()
				if err != nil {
					return explain(cmd.Context(), err)
				}
				if paths = without(changes, keep); len(paths) == 0 {
					fmt.Fprintln(cmd.OutOrStdout(), "nothing to take back")
					return nil
				}
			}
			if err := u.EtcReset(paths); err != nil {
				return explain(cmd.Context(), err)
			}
			if none {
				fmt.Fprintln(cmd.OutOrStdout(), "the next boot takes nothing back")
				return nil
			}
			for _, p := range paths {
				fmt.Fprintf(cmd.OutOrStdout(), "/%s: the next boot takes it back\n", p)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "take back every change")
	cmd.Flags().BoolVar(&none, "none", false, "take nothing back, whatever was asked for before")
	cmd.Flags().StringArrayVar(&keep, "keep", nil, "with --all: leave this path and what is below it")
	return cmd
}

// belowRoot is a path of the command line as the updater writes it: relative to
// the root.
func belowRoot(arg string) string { return strings.TrimPrefix(path.Clean(arg), "/") }

// without are the paths of the changes, but for what is to be kept and the
// folders that hold it.
func without(changes []etc.Change, keep []string) (paths []string) {
	for _, c := range changes {
		kept := false
		for _, k := range keep {
			k = belowRoot(k)
			kept = kept || strings.HasPrefix(c.Path+"/", k+"/") || strings.HasPrefix(k+"/", c.Path+"/")
		}
		if !kept {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

func printChanges(w io.Writer, changes []etc.Change) error {
	if len(changes) == 0 {
		_, err := fmt.Fprintln(w, "nothing is changed in /etc")
		return err
	}
	for _, c := range changes {
		note := ""
		if c.Kind == etc.Same {
			note = "   as in the release, and hides what later ones bring"
		}
		if c.Reset {
			note += "   the next boot takes it back"
		}
		if _, err := fmt.Fprintf(w, "%-8s   /%s%s\n", c.Kind, c.Path, note); err != nil {
			return err
		}
	}
	return nil
}

func printContents(w io.Writer, name string, ours, theirs etc.Content) error {
	if bytes.IndexByte(ours.Text, 0) >= 0 || bytes.IndexByte(theirs.Text, 0) >= 0 {
		_, err := fmt.Fprintf(w, "/%s: binary contents differ\n", name)
		return err
	}
	_, err := w.Write(diff.Diff("release/"+name, theirs.Text, "machine/"+name, ours.Text))
	return err
}
