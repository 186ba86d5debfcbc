package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/cmd/internal/cli"
)

func newVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify PATH",
		Short: "Check every byte of a release or a disk",
		Long: `Check a release folder, or a disk or disk image: every artifact against its digest,
the partition table and the boot partition, every block of root and hash tree
against the root hash, and that the kernel image names that root. Or check the
folder of an extension: its files, and every block of it against its root hash.

What this does not say is who made it: hosts learn that from the signed repository.

Exit codes: 0 all is right; 1 a fault was found, or something could not be read.`,
		Example: "  proa verify out/1.0.0\n  proa verify out/1.0.0/disk.raw --json",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			checks, err := examine.Verify(cmd.Context(), args[0], cli.Progress(cmd))
			if errors.Is(err, examine.ErrUnknown) {
				return cli.Hint(err, "name a folder that 'proa build' made, or a disk.raw in one")
			}
			if err != nil && !errors.Is(err, examine.ErrFaulty) {
				return err
			}
			if cli.JSON(cmd) {
				if printErr := cli.PrintJSON(cmd.OutOrStdout(), map[string]any{"path": args[0], "ok": err == nil, "checks": checks}); printErr != nil {
					return printErr
				}
				return err
			}
			out := &linePrinter{w: cmd.OutOrStdout()}
			for _, c := range checks {
				if c.Fault == "" {
					out.print("ok     %s", c.Name)
				} else {
					out.print("FAULT  %s: %s", c.Name, c.Fault)
				}
			}
			if out.err != nil {
				return out.err
			}
			return cli.Hint(err, "what is faulty must not be used: build or download it again")
		},
	}
}
