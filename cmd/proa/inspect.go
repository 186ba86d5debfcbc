package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
)

func newInspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect PATH",
		Short: "Show what a release, a disk or a kernel image holds",
		Long: `Show what a release folder, a disk or disk image, or a unified kernel image holds.
Nothing is verified beyond what reading it safely takes: see 'proa verify'.`,
		Example: "  proa inspect out/1.0.0\n  proa inspect /dev/vda --json",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := examine.Describe(args[0])
			if errors.Is(err, examine.ErrUnknown) {
				return cli.Hint(err, "name a folder that 'proa build' made, or a disk.raw or uki.efi in one")
			}
			if err != nil {
				return err
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), d)
			}
			return printDescription(cmd.OutOrStdout(), d)
		},
	}
}

func printDescription(w io.Writer, d examine.Description) error {
	out := &linePrinter{w: w}
	if d.Release != nil {
		out.print("release   %s %s (%s), security epoch %d", d.Release.Product, d.Release.Version, d.Release.Arch, d.Release.SecurityEpoch)
		out.print("root      %s, %s in %d blocks", d.Release.Root.Hash, manifests.Size(d.Release.Root.Blocks*4096), d.Release.Root.Blocks)
		for _, a := range d.Release.Artifacts {
			out.print("artifact  %-12s %13d bytes  %s", a.Name, a.Size, a.Digest)
		}
	}
	if d.Extension != nil {
		printExtension(out, *d.Extension)
	}
	if d.Disk != nil {
		printDisk(out, d.Disk)
	}
	if d.Kernel != nil {
		printKernel(out, "", d.Kernel)
	}
	return out.err
}

func printDisk(out *linePrinter, d *examine.Disk) {
	out.print("disk      %s", d.GUID)
	if d.Damaged != "" {
		out.print("damaged   %s", d.Damaged)
	}
	for _, p := range d.Partitions {
		out.print("  %d %-9s %13d bytes at %13d  %s", p.Number, p.Role, p.Size, p.Start, p.GUID)
	}
	if d.Committed != nil {
		out.print("committed slot %s", d.Committed)
	} else {
		out.print("committed slot unknown: %s", d.Fault)
	}
	for _, s := range d.Slots {
		switch {
		case s.Empty:
			out.print("slot %s    empty", s.Slot)
		case s.Fault != "":
			out.print("slot %s    %s", s.Slot, s.Fault)
		default:
			printKernel(out, fmt.Sprintf("slot %s    ", s.Slot), s.Kernel)
		}
	}
}

func printKernel(out *linePrinter, prefix string, k *examine.Kernel) {
	signed := "not signed for Secure Boot"
	if k.Signed {
		signed = "signed for Secure Boot"
	}
	out.print("%skernel %s (%s), %d bytes, %s", prefix, k.Release, k.Arch, k.Size, signed)
	out.print("  root hash %s", k.RootHash)
	out.print("  command line %s", k.CommandLine)
}

// linePrinter prints lines and remembers the first error.
type linePrinter struct {
	w   io.Writer
	err error
}

func (p *linePrinter) print(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
