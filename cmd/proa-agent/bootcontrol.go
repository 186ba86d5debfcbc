package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/bootcontrol"
)

func newBootControlCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "boot-control",
		Short: "Show or change how this machine decides what it boots",
		Long: `Show or change how this machine decides what it boots: the backend of boot
control. See docs/reference/boot-control.md.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBootControlShowCommand(), newBootControlProbeCommand(), newBootControlUseCommand())
	return cmd
}

func newBootControlShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the backend and what it knows",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			b, err := u.BootControl(cmd.Context())
			if err != nil {
				return explain(cmd.Context(), err)
			}
			return printBootControl(cmd, b)
		},
	}
}

func newBootControlProbeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "probe",
		Short: "Find out whether the firmware keeps variables",
		Long: `Find out whether the firmware keeps variables: run it, switch the machine off
and on (or at least reboot), and run it again. Nothing but one variable of its own
is changed; the backend stays as it is.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			found, err := u.ProbeBootControl(cmd.Context())
			if err != nil {
				return explain(cmd.Context(), err)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), found)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), findingText(found))
			return err
		},
	}
}

func newBootControlUseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "use " + bootcontrol.NameOneShot + "|" + bootcontrol.NameCounted,
		Short: "Lay the boot partition out for another backend",
		Long: `Lay the boot partition out for another backend. The committed slot leads before
and after it; if it is cut, run it again. It is refused during a trial.`,
		Example:   "  proa-agent boot-control use " + bootcontrol.NameCounted,
		Args:      cli.ExactArgs(1),
		ValidArgs: []string{bootcontrol.NameOneShot, bootcontrol.NameCounted},
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			b, err := u.UseBootControl(cmd.Context(), args[0])
			if err != nil {
				return explain(cmd.Context(), err)
			}
			return printBootControl(cmd, b)
		},
	}
}

func printBootControl(cmd *cobra.Command, b updater.BootControl) error {
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), b)
	}
	return writeBootControl(cmd.OutOrStdout(), b)
}

func writeBootControl(w io.Writer, b updater.BootControl) error {
	var text strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&text, "%-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	line("backend", "%s", b.Backend)
	line("committed", "slot %s", b.Committed)
	if b.Armed != "" {
		line("armed", "slot %s: the next boot tries it", b.Armed)
	}
	if b.Booted != "" {
		line("booted", "slot %s", b.Booted)
	}
	if b.Counts != nil && *b.Counts {
		line("counts", "yes: the firmware was seen to count boots")
	} else if b.Counts != nil {
		line("counts", "not seen yet: reboot once; no trial is armed before. If that has been done, it cannot")
	}
	line("variables", "%s", b.Variables)
	if b.Probe != nil {
		line("probe", "%s (%s)", findingText(*b.Probe), b.Probe.When.Local().Format("2006-01-02 15:04"))
	}
	for _, note := range b.Notes {
		line("note", "%s", note)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func findingText(f bootcontrol.Finding) string {
	switch f.Outcome {
	case bootcontrol.Pending:
		return "a variable is set: switch the machine off and on, and probe again"
	case bootcontrol.Kept:
		return "the firmware keeps variables: oneshot is the backend for it"
	case bootcontrol.Lost:
		return "the firmware lost a variable: it needs the backend counted"
	case bootcontrol.Unusable:
		return "the firmware cannot set variables: it needs the backend counted: " + f.Reason
	}
	return string(f.Outcome) + " at " + f.When.Format(time.RFC3339)
}
