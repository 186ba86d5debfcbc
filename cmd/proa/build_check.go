package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder"
	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
)

// exitOtherwise says that a release that was built once more came out
// otherwise.
const exitOtherwise = 3

// runCheck builds the release in a folder once more.
func (o buildOptions) runCheck(cmd *cobra.Command, path string) error {
	if o.output != "" || o.version != "" || o.arch != "" {
		return cli.Usage(cmd, errors.New("--check: the release says its version and architecture, and is not written anew: want no --output, --version and --arch"))
	}
	described, err := examine.Describe(o.check)
	if err == nil && described.Release == nil {
		err = fmt.Errorf("%s: %w", o.check, examine.ErrUnknown)
	}
	if err != nil {
		return cli.Hint(err, "name a folder that 'proa build' made")
	}
	release := *described.Release
	recipe, err := readRecipe(path)
	if err != nil {
		return err
	}
	o.version, o.arch, o.locked = string(release.Version), string(release.Arch), true
	config, in, err := o.prepare(cmd, recipe)
	if err != nil {
		return err
	}
	defer in.Close()
	config.Epoch = release.Epoch
	check, err := builder.Rebuild(cmd.Context(), config, release, o.check)
	if errors.Is(err, builder.ErrPrevious) {
		return cli.Hint(err, "name that release with --previous")
	}
	if err != nil {
		return inputHint(err)
	}
	return printCheck(cmd, o.check, check)
}

func printCheck(cmd *cobra.Command, folder string, c builder.Check) error {
	if cli.JSON(cmd) {
		if err := cli.PrintJSON(cmd.OutOrStdout(), c); err != nil {
			return err
		}
	} else {
		out := &linePrinter{w: cmd.OutOrStdout()}
		switch {
		case c.Same && c.Signatures:
			out.print("%s: the same, byte for byte, but for the signatures of %s", folder, manifests.ProvenanceFile)
		case c.Same:
			out.print("%s: the same, byte for byte", folder)
		case len(c.Artifacts) == 0:
			out.print("%s: release.json differs, and no artifact", folder)
		default:
			out.print("%s: %s came out otherwise", folder, strings.Join(c.Artifacts, ", "))
		}
		if c.What != "" {
			out.print("first difference in the root image: %s: %s", c.Path, c.What)
		}
		if out.err != nil {
			return out.err
		}
	}
	if c.Same {
		return nil
	}
	return cli.Code(exitOtherwise)
}
