package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder"
	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/units"
)

type buildOptions struct {
	inputOptions
	locked   bool
	check    string
	keys     []string
	previous string
	builder  string
	output   string
	version  string
	arch     string
	init     string
	agent    string
	kind     string
	force    bool
	formats  []string

	passphrase passphraseFlag
}

func newBuildCommand() *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build [RECIPE] (-o OUT | --check OUT)",
		Short: "Build a release from a recipe",
		Long: `Build a release from a recipe: a YAML file, or a folder with a recipe.yaml, by
default the current one. The output folder holds:

  disk.raw         the image of a whole disk, to start machines from (sparse)
  root.erofs       the read-only root file system
  root.map         where files lie in root.erofs, for what publishes it
  root.verity      its dm-verity hash tree
  uki.efi          kernel, initrd and the command line with the root hash
  loader.efi       the boot loader, and layout.json the sizes of partitions, for installers
  release.json     the manifest: every artifact by size and SHA-256
  sbom.spdx.json   what the root is made of, as SPDX 2.3
  provenance.json  what it was made from: SLSA provenance in a DSSE envelope
  state.json       what the release expects of /etc and /var
  scripts.json     package scripts, and what was done in their stead

The folder appears whole or not at all. The same inputs give the same bytes. No
privileges are needed, and nothing from the sources is run, but for scripts that
the recipe wants to be run in a sandbox.

What registries and repositories have is taken from proa.lock. Where the recipe
has moved since it was written, the lock is brought up to date first, unless
--locked forbids it. With --previous, files stay where they lie in an earlier
release, so that updates from it are small; the lock says which one that is.
--check OUT builds the release in OUT once more and names
the first file that came out otherwise.

With --kind sysext or confext the recipe is that of an extension, and the folder
holds NAME.sysext.raw or NAME.confext.raw, which systemd attaches to /usr and /opt or
to /etc, with extension.json, its bill of materials and its provenance. Name the
folder under "extensions" in the recipe of an operating system.

Exit codes: 0 built; 1 something went wrong; 2 the command line or the recipe is
wrong; 3 with --check, the release came out otherwise.`,
		Example: `  proa build -o out/1.0.0 --version 1.0.0
  proa build images/debian/recipe.yaml -o out/1.0.0 --version 1.0.0 --json
  proa build -o out/1.0.1 --version 1.0.1 --previous out/1.0.0
  proa build --check out/1.0.0
  proa build debug/recipe.yaml --kind sysext -o out/debug-1 --version 1
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
	o.add(cmd)
	o.addVendor(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.locked, "locked", false, "refuse to build when the recipe has moved since it was locked")
	flags.StringVar(&o.check, "check", "", "build this release once more, and say what differs")
	addPreviousFlag(cmd, &o.previous)
	flags.StringArrayVar(&o.keys, "provenance-key", nil, "sign the provenance with this key, a file that 'proa key new' made; can be repeated")
	o.passphrase.add(cmd, "of --provenance-key (default: asked for at a terminal)")
	flags.StringVar(&o.builder, "builder-id", "", "URI of who builds, for the provenance")
	flags.StringVarP(&o.output, "output", "o", "", "folder to make (required)")
	flags.StringVar(&o.version, "version", "", "version of the release (default: the recipe's)")
	flags.StringVar(&o.arch, "arch", "", "architecture (default: the recipe's first)")
	flags.StringVar(&o.init, "init", "", "the proa-init program (default: beside proa)")
	flags.StringVar(&o.agent, "agent", "", "the proa-agent program (default: beside proa)")
	flags.StringVar(&o.kind, "kind", kindSystem, "what the recipe makes: system, sysext or confext")
	flags.BoolVar(&o.force, "force", false, "replace an existing release in the output folder")
	flags.StringSliceVar(&o.formats, "format", nil, "also convert the release to these formats, beside the output folder: see 'proa convert'")
	cli.CompleteWords(cmd, "format", formatNames()...)
	cli.CompleteFolder(cmd, "output", "check")
	cli.CompleteWords(cmd, "kind", kindSystem, string(manifests.Sysext), string(manifests.Confext))
	cli.CompleteWords(cmd, "arch", string(manifests.AMD64), string(manifests.ARM64))
	cmd.ValidArgsFunction = completeRecipe
	return cmd
}

func (o buildOptions) run(cmd *cobra.Command, path string) error {
	if o.kind != kindSystem {
		return o.runExtension(cmd, path)
	}
	if o.check != "" {
		return o.runCheck(cmd, path)
	}
	if o.output == "" {
		return cli.Usage(cmd, errors.New("--output is missing: name the folder to make"))
	}
	wanted, err := o.chooseFormats(cmd)
	if err != nil {
		return err
	}
	recipe, err := readRecipe(path)
	if err != nil {
		return err
	}
	config, in, err := o.prepare(cmd, recipe)
	if err != nil {
		return err
	}
	defer in.Close()
	release, err := builder.Build(cmd.Context(), config)
	switch {
	case errors.Is(err, builder.ErrExists):
		return cli.Hint(err, "choose another folder with -o, or replace the release that is there with --force")
	case errors.Is(err, builder.ErrPrevious):
		return cli.Hint(err, "name that release with --previous, or lay this one out by itself with --previous none")
	case errors.Is(err, builder.ErrNoLoader):
		return cli.Hint(err, "add the package systemd-boot-efi to a source, or install it here")
	case err != nil:
		return inputHint(err)
	}
	converted, err := o.convert(cmd, config.Output, wanted)
	if err != nil {
		return err
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), builtRelease{release, converted})
	}
	if err := printScripts(cmd, config.Output, release); err != nil {
		return err
	}
	if err := printRelease(cmd.OutOrStdout(), config.Output, release); err != nil {
		return err
	}
	for _, c := range converted {
		if err := printConverted(cmd.OutOrStdout(), c); err != nil {
			return err
		}
	}
	return nil
}

// printScripts says what became of package scripts, where there were any; with
// --quiet only what was not done in their stead.
func printScripts(cmd *cobra.Command, folder string, r manifests.Release) error {
	if _, ok := r.Artifact(manifests.ScriptsFile); !ok {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(folder, manifests.ScriptsFile))
	if err != nil {
		return err
	}
	var report builder.Scripts
	if err := json.Unmarshal(text, &report); err != nil {
		return err
	}
	if cli.Quiet(cmd) && len(report.Uncovered()) == 0 {
		return nil
	}
	_, err = fmt.Fprint(cmd.ErrOrStderr(), report)
	return err
}

// prepare is what a build needs, with its lock followed. The caller closes the inputs.
func (o buildOptions) prepare(cmd *cobra.Command, r *recipe) (builder.Config, inputs, error) {
	config, err := o.config(cmd, r)
	if err != nil {
		return builder.Config{}, inputs{}, err
	}
	in, err := o.open(cmd)
	if err != nil {
		return builder.Config{}, inputs{}, err
	}
	if err := o.followLock(cmd, r, in, &config); err != nil {
		in.Close()
		return builder.Config{}, inputs{}, err
	}
	return config, in, nil
}

// followLock gives a build the lock of its recipe. Where the recipe has moved,
// and needs a lock, it is locked again first, unless that was forbidden.
func (o buildOptions) followLock(cmd *cobra.Command, r *recipe, in inputs, c *builder.Config) error {
	c.Cache, c.Fetcher, c.Registry = in.cache, in.fetcher, in.registry
	err := r.follow(cmd.Context(), in, o.previous, []manifests.Arch{c.Arch})
	if err == nil {
		c.Previous, err = r.previous(in, c.Arch)
	}
	if err != nil {
		return err
	}
	needed := r.follows || slices.ContainsFunc(r.Sources, manifests.Source.Locked)
	if !needed && !r.locked && !o.locked {
		return nil
	}
	moved, err := resolve.Moved(r.Recipe, r.folder, r.lock)
	if err != nil {
		return err
	}
	if r.follows {
		moved = append(moved, "the previous release")
	}
	if len(moved) > 0 {
		if o.locked {
			err := fmt.Errorf("%s is not for this recipe: %s", r.lockPath(), strings.Join(moved, ", "))
			return cli.Hint(err, "run 'proa lock', look at what it changes, and keep the lock with the recipe")
		}
		changes, _, err := r.relock(cmd, in, resolve.Update{}, true)
		if err != nil {
			return inputHint(err)
		}
		if !cli.Quiet(cmd) {
			fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s: %s\n", r.lockPath(), r.summary(changes))
		}
	}
	c.Lock = r.lock
	return nil
}

func (o buildOptions) config(cmd *cobra.Command, r *recipe) (builder.Config, error) {
	c := builder.Config{
		Recipe:     r.Recipe,
		RecipeText: r.text,
		Folder:     r.folder,
		Output:     o.output,
		Replace:    o.force,
		Stdin:      cmd.InOrStdin(),
		Builder:    o.builder,
		Tool:       cli.Version,
		Progress:   cli.Progress(cmd),
	}
	var err error
	if c.Keys, err = o.passphrase.openKeys(cmd.Context(), o.keys...); err != nil {
		return builder.Config{}, keyHint(err)
	}
	if c.Version, err = o.chooseVersion(r.Recipe); err != nil {
		return builder.Config{}, cli.Usage(cmd, err)
	}
	c.Arch = r.Arch[0]
	if o.arch != "" {
		if c.Arch, err = manifests.ParseArch(o.arch); err != nil {
			return builder.Config{}, cli.Usage(cmd, err)
		}
	}
	if !slices.Contains(r.Arch, c.Arch) {
		return builder.Config{}, cli.Usage(cmd, fmt.Errorf("architecture %s: the recipe is for %v", c.Arch, r.Arch))
	}
	if c.Epoch, err = chooseEpoch(r.Recipe); err != nil {
		return builder.Config{}, cli.Exit(cli.ExitUsage, err)
	}
	if o.kind != kindSystem {
		return c, nil
	}
	if c.Init, err = readProgram(o.init, "proa-init", c.Arch); err != nil {
		return builder.Config{}, err
	}
	if r.Update != nil {
		program, err := readProgram(o.agent, "proa-agent", c.Arch)
		if err != nil {
			return builder.Config{}, err
		}
		c.Agent = &builder.Agent{Program: program, Units: units.Files(), Links: units.Links(), Files: units.Elsewhere(), ExtensionLinks: units.ExtensionLinks()}
	}
	return c, nil
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
		fmt.Fprintf(w, "  %-15s %13d bytes  %s\n", a.Name, a.Size, a.Digest)
	}
	_, err := fmt.Fprintf(w, "in %s\n", folder)
	return err
}
