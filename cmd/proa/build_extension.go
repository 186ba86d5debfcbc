package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
)

// kindSystem is the kind of a recipe that makes an operating system.
const kindSystem = "system"

// runExtension builds the recipe of an extension.
func (o buildOptions) runExtension(cmd *cobra.Command, path string) error {
	kind, err := manifests.ParseExtensionKind(o.kind)
	if err != nil {
		return cli.Usage(cmd, fmt.Errorf("--kind %.40q: want %s, %s or %s", o.kind, kindSystem, manifests.Sysext, manifests.Confext))
	}
	for _, flag := range []string{"check", "previous", "init", "agent", "format"} {
		if cmd.Flags().Changed(flag) {
			return cli.Usage(cmd, fmt.Errorf("--%s with --kind %s: it is for operating systems", flag, kind))
		}
	}
	if o.output == "" {
		return cli.Usage(cmd, errors.New("--output is missing: name the folder to make"))
	}
	recipe, err := readRecipeBy(path, manifests.ParseExtensionRecipe)
	if err != nil {
		return err
	}
	config, in, err := o.prepare(cmd, recipe)
	if err != nil {
		return err
	}
	defer in.Close()
	built, err := builder.BuildExtension(cmd.Context(), kind, config)
	switch {
	case errors.Is(err, builder.ErrExists):
		return cli.Hint(err, "choose another folder with -o, or replace the extension that is there with --force")
	case err != nil:
		return inputHint(err)
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), built)
	}
	out := &linePrinter{w: cmd.OutOrStdout()}
	printExtension(out, built)
	out.print("in %s", config.Output)
	return out.err
}

func printExtension(out *linePrinter, b manifests.BuiltExtension) {
	fits := "any image"
	if b.Fits.ID != manifests.AnyID {
		fits = "images of " + b.Fits.ID
		if b.Fits.VersionID != "" {
			fits += " " + b.Fits.VersionID
		}
		if b.Fits.Level != "" {
			fits += " of level " + b.Fits.Level
		}
	}
	out.print("%s %s %s (%s), for %s, root hash %s", b.Kind, b.Name, b.Version, b.Arch, fits, b.RootHash)
	for _, a := range b.Artifacts {
		out.print("  %-15s %13d bytes  %s", a.Name, a.Size, a.Digest)
	}
}
