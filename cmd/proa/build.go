package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/units"
)

type buildOptions struct {
	output  string
	version string
	arch    string
	init    string
	agent   string
	force   bool
}

func newBuildCommand() *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build [RECIPE] -o OUT",
		Short: "Build a release from a recipe",
		Long: `Build a release from a recipe: a YAML file, or a folder with a recipe.yaml, by
default the current one. The output folder holds:

  disk.raw       the image of a whole disk, to start machines from (sparse)
  root.erofs     the read-only root file system
  root.verity    its dm-verity hash tree
  uki.efi        kernel, initrd and the command line with the root hash
  release.json   the manifest: every artifact by size and SHA-256

The folder appears whole or not at all. The same inputs give the same bytes. No
privileges are needed, and nothing from the sources is run.

Exit codes: 0 built; 1 something went wrong; 2 the command line or the recipe is
wrong.`,
		Example: `  proa build -o out/1.0.0 --version 1.0.0
  proa build images/debian/recipe.yaml -o out/1.0.0 --version 1.0.0 --json
  mmdebstrap bookworm - | proa build recipe.yaml -o out/1.0.0 --version 1.0.0`,
		Args: cli.MaximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			recipe := "."
			if len(args) > 0 {
				recipe = args[0]
			}
			return o.run(cmd, recipe)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "", "folder to make (required)")
	flags.StringVar(&o.version, "version", "", "version of the release (default: the recipe's)")
	flags.StringVar(&o.arch, "arch", "", "architecture (default: the recipe's first)")
	flags.StringVar(&o.init, "init", "", "the proa-init program (default: beside proa)")
	flags.StringVar(&o.agent, "agent", "", "the proa-agent program (default: beside proa)")
	flags.BoolVar(&o.force, "force", false, "replace an existing release in the output folder")
	return cmd
}

func (o buildOptions) run(cmd *cobra.Command, path string) error {
	config, err := o.config(cmd, path)
	if err != nil {
		return err
	}
	release, err := builder.Build(cmd.Context(), config)
	switch {
	case errors.Is(err, builder.ErrExists):
		return cli.Hint(err, "choose another folder with -o, or replace the release that is there with --force")
	case errors.Is(err, builder.ErrNoLoader):
		return cli.Hint(err, "add the package systemd-boot-efi to a source, or install it here")
	case err != nil:
		return err
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), release)
	}
	return printRelease(cmd.OutOrStdout(), config.Output, release)
}

func (o buildOptions) config(cmd *cobra.Command, path string) (builder.Config, error) {
	if o.output == "" {
		return builder.Config{}, cli.Usage(cmd, errors.New("--output is missing: name the folder to make"))
	}
	recipe, folder, err := readRecipe(path)
	if err != nil {
		return builder.Config{}, err
	}
	c := builder.Config{
		Recipe:   recipe,
		Folder:   folder,
		Output:   o.output,
		Replace:  o.force,
		Stdin:    cmd.InOrStdin(),
		Progress: cli.Progress(cmd),
	}
	if c.Version, err = o.chooseVersion(recipe); err != nil {
		return builder.Config{}, cli.Usage(cmd, err)
	}
	c.Arch = recipe.Arch[0]
	if o.arch != "" {
		if c.Arch, err = manifests.ParseArch(o.arch); err != nil {
			return builder.Config{}, cli.Usage(cmd, err)
		}
	}
	if !slices.Contains(recipe.Arch, c.Arch) {
		return builder.Config{}, cli.Usage(cmd, fmt.Errorf("architecture %s: the recipe is for %v", c.Arch, recipe.Arch))
	}
	if c.Epoch, err = chooseEpoch(recipe); err != nil {
		return builder.Config{}, cli.Exit(cli.ExitUsage, err)
	}
	if c.Init, err = readProgram(o.init, "proa-init", c.Arch); err != nil {
		return builder.Config{}, err
	}
	if recipe.Update != nil {
		program, err := readProgram(o.agent, "proa-agent", c.Arch)
		if err != nil {
			return builder.Config{}, err
		}
		c.Agent = &builder.Agent{Program: program, Units: units.Files(), Links: units.Links()}
	}
	return c, nil
}

// readRecipe reads the recipe at path, a file or a folder that holds one, and
// says which folder its paths are relative to.
func readRecipe(path string) (manifests.Recipe, string, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, manifests.RecipeFile)
		info, err = os.Stat(path)
	}
	if err != nil {
		err = fmt.Errorf("recipe %.200q: %w", path, errors.Unwrap(err))
		return manifests.Recipe{}, "", cli.Exit(cli.ExitUsage, cli.Hint(err, "'proa init' writes a recipe to start from"))
	}
	if !info.Mode().IsRegular() {
		return manifests.Recipe{}, "", cli.Exit(cli.ExitUsage, fmt.Errorf("%s: want a regular file", path))
	}
	file, err := os.Open(path)
	if err != nil {
		return manifests.Recipe{}, "", err
	}
	defer file.Close()
	const most = 1 << 20
	data, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return manifests.Recipe{}, "", err
	}
	recipe, err := manifests.ParseRecipe(path, data)
	if err != nil {
		return manifests.Recipe{}, "", cli.Exit(cli.ExitUsage, err)
	}
	return recipe, filepath.Dir(path), nil
}

func (o buildOptions) chooseVersion(recipe manifests.Recipe) (manifests.Version, error) {
	if o.version != "" {
		return manifests.ParseVersion(o.version)
	}
	if recipe.Version == "" {
		return "", errors.New("--version is missing, and the recipe has none")
	}
	return recipe.Version, nil
}

// chooseEpoch follows https://reproducible-builds.org/specs/source-date-epoch/.
func chooseEpoch(recipe manifests.Recipe) (int64, error) {
	if text, ok := os.LookupEnv("SOURCE_DATE_EPOCH"); ok {
		epoch, err := strconv.ParseInt(text, 10, 64)
		if err != nil || manifests.CheckEpoch(epoch) != nil {
			return 0, fmt.Errorf("SOURCE_DATE_EPOCH %.40q: want seconds since 1970, %d (1980) or more", text, int64(manifests.DefaultEpoch))
		}
		return epoch, nil
	}
	if recipe.Epoch != nil {
		return *recipe.Epoch, nil
	}
	return manifests.DefaultEpoch, nil
}

func printRelease(w io.Writer, folder string, r manifests.Release) error {
	fmt.Fprintf(w, "%s %s (%s), root hash %s\n", r.Product, r.Version, r.Arch, r.Root.Hash)
	for _, a := range r.Artifacts {
		fmt.Fprintf(w, "  %-14s %13d bytes  %s\n", a.Name, a.Size, a.Digest)
	}
	_, err := fmt.Fprintf(w, "in %s\n", folder)
	return err
}
