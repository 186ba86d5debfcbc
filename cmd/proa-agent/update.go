package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
)

func newCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Ask the repository whether there is an update",
		Long: `Ask the repository what this host's channel names. Ends with 10 when that is an
update, 0 when the host is up to date, 3 when it must not be installed here. An update
that was begun and whose publisher has retracted it is given up.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			found, err := u.Check(cmd.Context())
			if found.Version == "" {
				return explain(cmd.Context(), err)
			}
			notes(cmd, append(found.Notes, found.Warnings()...))
			if cli.JSON(cmd) {
				if err := cli.PrintJSON(cmd.OutOrStdout(), found); err != nil {
					return err
				}
			} else {
				printAvailable(cmd.OutOrStdout(), &found, "")
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

func newUpdateCommand() *cobra.Command {
	var options updater.UpdateOptions
	var reboot bool
	var from string
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Install what the channel names and arm its trial",
		Long: `Install what the channel names into the slot that does not run, and make the
next boot try it once. The machine goes on running as it is until it is rebooted:
say --reboot to do that at once. With --stage everything is done but for the last
step: nothing boots the release until 'update' is said again.

A release that came back without a verdict, after a panic or a power cut say, is
not tried again before a pause has passed: --now does not wait for that.

An update that was cut anywhere is simply run again; what was downloaded and is
still right is not downloaded twice.

With --from the release comes from a folder or a file that 'proa repo export' made,
or from a whole repository that is mounted here, and no network is used. It is
checked like one from afar: the keys are those that the host trusts already.`,
		Example: `  proa-agent update --reboot
  proa-agent update --from /media/stick/os.tar`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if options.Stage && (reboot || options.Now) {
				return cli.Usage(cmd, errors.New("--stage with --now or --reboot: a staged release is not tried"))
			}
			u, closeFrom, err := newUpdaterFrom(cmd, from)
			if err != nil {
				return err
			}
			defer closeFrom()
			done, err := u.Update(cmd.Context(), options)
			notes(cmd, done.Notes)
			if err != nil {
				return explainFrom(cmd.Context(), from, err)
			}
			if err := printUpdated(cmd, done, reboot); err != nil {
				return err
			}
			if done.Result == updater.ResultUpToDate && updater.WentBack(done.Last) {
				return wentBackLast(done.Last)
			}
			if done.Result != updater.ResultArmed || !reboot {
				return nil
			}
			return explain(cmd.Context(), u.Reboot(cmd.Context()))
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "folder or file to install from, in place of the repository")
	cmd.Flags().BoolVar(&reboot, "reboot", false, "reboot into the trial when it is armed")
	cmd.Flags().BoolVar(&options.Stage, "stage", false, "install it, and do not arm its trial")
	cmd.Flags().BoolVar(&options.Now, "now", false, "try it although it came back without a verdict a short while ago")
	cmd.Flags().BoolVar(&options.RetryBlocked, "retry-blocked", false, "install the release even though it failed here before")
	return cmd
}

func printUpdated(cmd *cobra.Command, done updater.Updated, reboot bool) error {
	out := cmd.OutOrStdout()
	if cli.JSON(cmd) {
		return cli.PrintJSON(out, done)
	}
	if done.Result == updater.ResultUpToDate {
		fmt.Fprintf(out, "up to date: %s\n", done.Running)
		return nil
	}
	fmt.Fprintf(out, "installed %s in slot %s: downloaded %s", done.Version, done.Slot, bytesText(done.Downloaded))
	if here := done.Reused + done.Copied; here > 0 {
		fmt.Fprintf(out, ", %s of the image was there already", bytesText(here))
	}
	fmt.Fprintln(out)
	if done.Toward != "" {
		fmt.Fprintf(out, "it comes before %s, which is next once it leads\n", done.Toward)
	}
	switch {
	case done.Result == updater.ResultStaged:
		fmt.Fprintln(out, "nothing boots it yet: 'proa-agent update --now' arms its trial, 'proa-agent cancel' gives it up")
	case !reboot:
		fmt.Fprintln(out, "the next boot tries it: reboot when it suits you")
	}
	return nil
}
