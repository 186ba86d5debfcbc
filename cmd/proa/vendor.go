package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/builder/vendoring"
	"github.com/proa-os/proa/cmd/internal/cli"
)

func newVendorCommand() *cobra.Command {
	var o inputOptions
	cmd := &cobra.Command{
		Use:   "vendor DIR [RECIPE]",
		Short: "Copy every locked input into a folder, to build without a network",
		Long: `Copy everything that proa.lock names into a folder: images, packages and archives,
by digest. 'proa build --vendor DIR --offline' builds from it. The folder is an
OCI image layout, so other tools read the images in it. Run again, it takes what
is new and removes what the lock no longer names. An image that the recipe has as
a layout folder is copied, too, but builds read it where the recipe says.

Exit codes: 0 the folder has all; 1 something went wrong; 2 the command line, the
recipe or the lock is wrong.`,
		Example: "  proa vendor inputs && proa build -o out/1.0.0 --version 1.0.0 --vendor inputs --offline",
		Args:    cli.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "."
			if len(args) > 1 {
				path = args[1]
			}
			return runVendor(cmd, o, args[0], path)
		},
	}
	o.add(cmd)
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return cmd
}

func runVendor(cmd *cobra.Command, o inputOptions, dir, path string) error {
	r, err := readRecipe(path)
	if err != nil {
		return err
	}
	moved, err := resolve.Moved(r.Recipe, r.folder, r.lock)
	if err != nil {
		return err
	}
	if !r.locked || len(moved) > 0 {
		return cli.Hint(errors.New("there is no lock that is for this recipe"), "run 'proa lock' first")
	}
	in, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer in.Close()
	result, err := vendoring.Write(cmd.Context(), vendoring.Config{
		Lock:     r.lock,
		Folder:   r.folder,
		Dir:      dir,
		Cache:    in.cache,
		Fetcher:  in.fetcher,
		Registry: in.registry,
		Progress: cli.Progress(cmd),
	})
	if err != nil {
		return inputHint(err)
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), result)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds %d inputs, %d bytes; %d of an earlier lock removed\n", dir, result.Blobs, result.Bytes, result.Removed)
	return err
}
