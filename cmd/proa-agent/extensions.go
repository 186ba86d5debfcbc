package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/extensions"
)

func newExtensionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "extensions",
		Short: "Show the extensions of the running release",
		Long: `Show the extensions of the running release, and whether they are attached. They
come and go with the release: an update brings those of the new one, and after a
rollback the old ones are attached again. Which of them this host wants is said by
"extensions" in agent.yaml.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			status, err := u.Status(cmd.Context(), false)
			if err != nil {
				return explain(cmd.Context(), err)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), struct {
					Extensions []extensions.Standing `json:"extensions"`
				}{append([]extensions.Standing{}, status.Extensions...)})
			}
			return printExtensions(cmd.OutOrStdout(), status.Extensions)
		},
	}
	cmd.AddCommand(newAttachCommand())
	return cmd
}

// newAttachCommand is what proa-extensions.service runs.
func newAttachCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "attach",
		Short: "Make systemd find the extensions of the running release",
		Long: `Make systemd-sysext and systemd-confext find the extensions of the running
release: links in /run/extensions and /run/confexts, with the root hash by which
each is opened. proa-extensions.service does that at every boot, before systemd
looks. An extension that is not here keeps the others from nothing.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := hostOf(cmd)
			if err != nil {
				return err
			}
			all, err := updater.AttachExtensions(host)
			for _, x := range all {
				if x.State == extensions.Missing {
					notes(cmd, []string{fmt.Sprintf("extension %s %s is not here: 'proa-agent update' fetches it", x.Name, x.Version)})
				}
			}
			if cli.JSON(cmd) {
				err = errors.Join(err, cli.PrintJSON(cmd.OutOrStdout(), struct {
					Extensions []extensions.Standing `json:"extensions"`
				}{append([]extensions.Standing{}, all...)}))
			} else if len(all) > 0 {
				err = errors.Join(err, printExtensions(cmd.OutOrStdout(), all))
			}
			return err
		},
	}
}

func printExtensions(w io.Writer, all []extensions.Standing) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "the running release has no extensions")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	for _, x := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", x.Name, x.Version, x.Kind, x.State)
	}
	return table.Flush()
}
