package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
)

func newRepoRetractCommand() *cobra.Command {
	var flags repoFlags
	var arch, instead string
	retract := repository.RetractConfig{}
	cmd := &cobra.Command{
		Use:   "retract VERSION --reason REASON",
		Short: "Forbid a release to hosts that have not taken it",
		Long: `Forbid a release to hosts that have not taken it. They refuse it with the reason,
and give it up where it is installed and was not booted yet. Those that run it go on,
and their status has the reason. No channel can be moved to it any more.

Channels that point to it stay, and so do their hosts, until a channel is moved: to a
newer release, or with --instead to another in the same step. --lift takes a
retraction back.`,
		Example: `  proa repo retract 1.1.0 --reason "loses /var on NVMe disks" --instead 1.0.9
  proa repo retract 1.1.0 --lift`,
		Args: cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkRetract(&retract, args[0], arch, instead); err != nil {
				return cli.Usage(cmd, err)
			}
			var err error
			if retract.Config, err = flags.config(cmd); err != nil {
				return err
			}
			done, err := repository.Retract(cmd.Context(), retract)
			if err != nil {
				return repoHint(fmt.Errorf("retracting %s: %w", args[0], err))
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), done)
			}
			return printRetracted(cmd.OutOrStdout(), done)
		},
	}
	flags.addRepo(cmd)
	flags.addKeys(cmd)
	cmd.Flags().StringVar(&retract.Reason, "reason", "", "why, in a line that hosts show")
	cmd.Flags().BoolVar(&retract.Lift, "lift", false, "take its retraction back")
	cmd.Flags().StringVar(&instead, "instead", "", "move channels that point to it to this `VERSION`")
	cmd.Flags().StringVar(&retract.Product, "product", "", "product of the release (default: the only one of that version)")
	cmd.Flags().StringVar(&arch, "arch", "", "architecture of the release (default: the only one of that version)")
	return cmd
}

func checkRetract(retract *repository.RetractConfig, version, arch, instead string) (err error) {
	if retract.Version, err = manifests.ParseVersion(version); err != nil {
		return err
	}
	if arch != "" {
		if retract.Arch, err = manifests.ParseArch(arch); err != nil {
			return err
		}
	}
	if retract.Product != "" {
		if err := manifests.CheckName("product", retract.Product); err != nil {
			return err
		}
	}
	if retract.Lift {
		if retract.Reason != "" || instead != "" {
			return errors.New("--lift with --reason or --instead: a retraction is made or taken back")
		}
		return nil
	}
	if retract.Reason == "" {
		return errors.New("no reason: hosts show what --reason says")
	}
	if err := manifests.CheckReason(retract.Reason); err != nil {
		return err
	}
	if instead != "" {
		retract.Instead, err = manifests.ParseVersion(instead)
	}
	return err
}

func printRetracted(out io.Writer, r repository.Retracted) error {
	already := ""
	if !r.Changed {
		already = " (as it was)"
	}
	what := "is not retracted any more"
	if r.Retraction != nil {
		what = "is retracted: " + r.Retraction.Reason
	}
	lines := []string{fmt.Sprintf("%s %s %s %s%s", r.Product, r.Version, r.Arch, what, already)}
	for _, channel := range r.Moved {
		lines = append(lines, "moved: channel "+channel)
	}
	if r.Retraction != nil {
		for _, channel := range r.Channels {
			lines = append(lines, fmt.Sprintf("channel %s still points to it: its hosts stay where they are", channel))
		}
		for _, version := range r.RequiredBy {
			lines = append(lines, fmt.Sprintf("%s requires it first: hosts below %s stay where they are", version, r.Version))
		}
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}
