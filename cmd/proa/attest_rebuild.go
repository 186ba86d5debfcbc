package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/repository"
)

func newAttestRebuildCommand() *cobra.Command {
	var o buildOptions
	var f statementFlags
	var of string
	cmd := &cobra.Command{
		Use:   "rebuild [RECIPE] --of RELEASE --key KEY -o FILE",
		Short: "Build a release once more, and attest that it came out the same",
		Long: `Build a release once more from its recipe and its lock, on a machine of your own,
and attest with a key of your own that what hosts run of it came out the same: the
root image with its root hash, the kernel image, extensions and state.json.
Signatures for Secure Boot that 'proa sign' has added are passed over.

RELEASE is REPOSITORY#VERSION, a folder that 'proa build' or 'proa sign' made, or a
release.json with the uki.efi beside it. Use the version of proa that built it: its
proa-init and proa-agent are part of the image.

If anything comes out otherwise, nothing is attested: what differs is named, and
'proa build --check' tells more.

Exit codes: 0 the same, and attested; 1 something went wrong; 2 the command line or
the recipe is wrong; 3 the release came out otherwise.`,
		Example: `  proa attest rebuild edge --of repo#1.1.0 --key rebuilder.pem -o rebuild.json
  proa repo attach 1.1.0 rebuild.json`,
		Args: cli.MaximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			recipe := "."
			if len(args) > 0 {
				recipe = args[0]
			}
			return o.attestRebuild(cmd, recipe, of, f)
		},
	}
	cmd.Flags().StringVar(&of, "of", "", "the release, as it was published: REPOSITORY#VERSION, a folder or a release.json (required)")
	f.add(cmd)
	o.add(cmd)
	o.addVendor(cmd)
	addPreviousFlag(cmd, &o.previous)
	cmd.Flags().StringVar(&o.arch, "arch", "", "architecture of the release (default: the only one of that version)")
	cmd.Flags().StringVar(&o.init, "init", "", "the proa-init program (default: beside proa)")
	cmd.Flags().StringVar(&o.agent, "agent", "", "the proa-agent program (default: beside proa)")
	cli.CompleteFolder(cmd, "of")
	cli.CompleteWords(cmd, "arch", string(manifests.AMD64), string(manifests.ARM64))
	cmd.ValidArgsFunction = completeRecipe
	return cmd
}

func (o buildOptions) attestRebuild(cmd *cobra.Command, path, of string, f statementFlags) error {
	if of == "" {
		return cli.Usage(cmd, errors.New("no release: name the published one with --of"))
	}
	if o.arch != "" {
		if _, err := manifests.ParseArch(o.arch); err != nil {
			return cli.Usage(cmd, err)
		}
	}
	keys, err := f.open(cmd.Context(), cmd)
	if err != nil {
		return err
	}
	recipe, err := readRecipe(path)
	if err != nil {
		return err
	}
	reference, digest, err := readReference(of, recipe.Product, manifests.Arch(o.arch))
	if err != nil {
		return repoHint(fmt.Errorf("--of %.200q: %w", of, err))
	}
	release := reference.Release
	o.kind, o.version, o.arch = kindSystem, string(release.Version), string(release.Arch)
	o.locked = recipe.locked || slices.ContainsFunc(recipe.Sources, manifests.Source.Locked) // it is the lock's release, or another
	config, in, err := o.prepare(cmd, recipe)
	if err != nil {
		return err
	}
	defer in.Close()
	config.Epoch = release.Epoch
	rebuild, differ, err := builder.RebuildReference(cmd.Context(), config, reference, filepath.Dir(f.output))
	if errors.Is(err, builder.ErrPrevious) {
		return cli.Hint(err, "name that release with --previous")
	}
	if err != nil {
		return inputHint(err)
	}
	if len(differ) == 0 {
		rebuild.Finished = time.Now().UTC().Truncate(time.Second)
		statement, err := rebuild.Statement(digest)
		if err == nil {
			err = f.write(statement, keys)
		}
		if err != nil {
			return err
		}
	}
	return printRebuilt(cmd, of, rebuild, differ)
}

// rebuilt is what --json prints.
type rebuilt struct {
	Same    bool     `json:"same"`
	Differs []string `json:"differs"` // what hosts would run otherwise, by name
	manifests.Rebuild
}

func printRebuilt(cmd *cobra.Command, of string, r manifests.Rebuild, differ []string) error {
	var err error
	if cli.JSON(cmd) {
		err = cli.PrintJSON(cmd.OutOrStdout(), rebuilt{len(differ) == 0, append([]string{}, differ...), r})
	} else if len(differ) == 0 {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: what hosts run came out the same, root hash %s\n", of, r.RootHash)
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s came out otherwise, root hash %s: nothing is attested\n", of, strings.Join(differ, ", "), r.RootHash)
	}
	if err == nil && len(differ) > 0 {
		err = cli.Code(exitOtherwise)
	}
	return err
}

// readReference reads what --of names, and the digest of its release.json.
func readReference(place, product string, arch manifests.Arch) (builder.Reference, manifests.Digest, error) {
	fail := func(err error) (builder.Reference, manifests.Digest, error) {
		return builder.Reference{}, manifests.Digest{}, err
	}
	const kernelMost = 512 << 20
	if cut := strings.LastIndexByte(place, '#'); cut >= 0 && !exists(place) {
		version, err := manifests.ParseVersion(place[cut+1:])
		if err != nil {
			return fail(err)
		}
		config := repository.ExtractConfig{Dir: place[:cut], Version: version, Product: product, Arch: arch}
		release, digest, err := repository.Find(config)
		if err != nil {
			return fail(err)
		}
		_, kernel, err := repository.Kept(config, manifests.UKIFile, kernelMost)
		return builder.Reference{Release: release, Kernel: kernel}, digest, err
	}
	if info, err := os.Stat(place); err == nil && info.IsDir() {
		place = filepath.Join(place, manifests.ReleaseFile)
	}
	text, err := regular.Read(place, manifests.DocumentMost)
	if err != nil {
		return fail(err)
	}
	release, err := manifests.ParseRelease(text)
	if err != nil {
		return fail(err)
	}
	if release.Product != product {
		return fail(fmt.Errorf("it is of %s, and the recipe of %s", release.Product, product))
	}
	kernel, err := regular.Read(filepath.Join(filepath.Dir(place), manifests.UKIFile), kernelMost)
	if err != nil {
		return fail(err)
	}
	if a, _ := release.Artifact(manifests.UKIFile); a.Digest != manifests.DigestOf(kernel) {
		return fail(fmt.Errorf("%s is not what the release lists", manifests.UKIFile))
	}
	return builder.Reference{Release: release, Kernel: kernel}, manifests.DigestOf(text), nil
}
