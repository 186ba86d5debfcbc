package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/installer"
	"github.com/proa-os/proa/manifests"
)

// listDisks prints the disks of a machine.
func listDisks(cmd *cobra.Command, machine installer.Machine) error {
	disks, err := machine.Disks()
	if err != nil {
		return err
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), map[string]any{"disks": disks})
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DISK\tSIZE\tMODEL\tNAME\tHOLDS")
	for _, disk := range disks {
		holds := disk.Holds
		switch {
		case disk.InUse != "":
			holds += "; in use: " + disk.InUse
		case disk.ReadOnly:
			holds += "; write-protected"
		}
		model := disk.Model
		if model == "" {
			model = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", disk.Path, manifests.Size(disk.Size), model, disk.Name, holds)
	}
	return w.Flush()
}

// obey takes from the kernel's command line what an attended installation is told by
// flags.
func (f *installFlags) obey() error {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	order, err := installer.ParseOrder(string(line))
	if err != nil {
		return err
	}
	disks, err := installer.Machine{}.Disks()
	if err != nil {
		return err
	}
	if f.disk, err = order.Choose(disks); err != nil {
		return err
	}
	f.wipe, f.settings, f.digest = order.Wipe, order.Settings, order.Digest
	return nil
}
