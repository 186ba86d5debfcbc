package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
)

func newRepairCommand() *cobra.Command {
	var options updater.RepairOptions
	var slot string
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Replace what is damaged of the slot that does not run",
		Long: `Read the slot that does not run from the disk, fetch the parts of it that are not
what its release says, and put them in their place: chunks of the root image,
blocks of the hash tree, the kernel image. All of it is verified again then.

With --check nothing is written; a slot that is damaged ends it with 1. Without
the repository, --check goes by the root hash in the slot's kernel image.`,
		Example: `  proa-agent repair --check
  proa-agent repair --slot b`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if slot != "" {
				var err error
				if options.Slot, err = partitions.ParseSlot(slot); err != nil {
					return cli.Usage(cmd, err)
				}
			}
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			done, err := u.Repair(cmd.Context(), options)
			notes(cmd, done.Notes)
			if err != nil {
				return explain(cmd.Context(), err)
			}
			return printRepaired(cmd, done)
		},
	}
	cmd.Flags().StringVar(&slot, "slot", "", "the slot, a or b; only one that does not run")
	cmd.Flags().BoolVar(&options.Check, "check", false, "only say what is damaged")
	cli.CompleteWords(cmd, "slot", "a", "b")
	return cmd
}

func printRepaired(cmd *cobra.Command, done updater.Repaired) error {
	damaged := strings.Join(done.Damaged, ", ")
	if cli.JSON(cmd) {
		if err := cli.PrintJSON(cmd.OutOrStdout(), done); err != nil {
			return err
		}
	}
	name := "slot " + done.Slot.String()
	if done.Version != "" {
		name += fmt.Sprintf(" (%s)", done.Version)
	}
	if done.Result == updater.RepairDamaged {
		return cli.Hint(fmt.Errorf("%s is damaged: %s", name, damaged), "run 'proa-agent repair'")
	}
	switch {
	case cli.JSON(cmd):
	case done.Result == updater.RepairWhole:
		fmt.Fprintf(cmd.OutOrStdout(), "%s is whole\n", name)
	default:
		fmt.Fprintf(cmd.OutOrStdout(), "repaired %s: %s; downloaded %s\n", name, damaged, bytesText(done.Downloaded))
	}
	return nil
}
