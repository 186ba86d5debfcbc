package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder/compare"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/repository"
)

// exitDiffers is an answer, not an error; 1 is what every error gives.
const exitDiffers = 3

// diffFlags say which of several systems in one place is meant, and how the
// answer is given.
type diffFlags struct {
	slot, product, arch string
	markdown, exitCode  bool
}

func newDiffCommand() *cobra.Command {
	var flags diffFlags
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Show what differs between two releases, disks or versions in a repository",
		Long: `Show what differs between two systems: packages, files, the kernel and its
configuration, units that start, users and groups, set-user-ID files and
capabilities, and the size.

OLD and NEW are each a release folder, a root image (root.erofs), a disk or disk
image, of which the committed slot is read unless --slot or DISK#SLOT says
otherwise, or REPOSITORY#VERSION with the folder of a repository.

Long lists are cut in text and Markdown; --json has everything. Nothing is
verified beyond what reading it safely takes: see 'proa verify'.

Exit codes: 0 the two were compared; with --exit-code, 3 they differ; 1 something
could not be read.`,
		Example: `  proa diff out/1.0.0 out/1.1.0
  proa diff repo#1.0.0 out/1.1.0 --markdown > pull-request.md
  proa diff disk.raw#a disk.raw#b`,
		Args: cli.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return runDiff(cmd, args, flags) },
	}
	cmd.Flags().StringVar(&flags.slot, "slot", "", "slot to read of a disk: a or b (default: the committed one)")
	cmd.Flags().StringVar(&flags.product, "product", "", "product in a repository (default: the only one of that version)")
	cmd.Flags().StringVar(&flags.arch, "arch", "", "architecture in a repository (default: the only one of that version)")
	cmd.Flags().BoolVar(&flags.markdown, "markdown", false, "write Markdown, for a pull request")
	cmd.Flags().BoolVar(&flags.exitCode, "exit-code", false, "end with exit code 3 if the two differ")
	return cmd
}

func runDiff(cmd *cobra.Command, args []string, flags diffFlags) error {
	if flags.markdown && cli.JSON(cmd) {
		return cli.Usage(cmd, errors.New("--markdown and --json: want one of them"))
	}
	var systems [2]compare.System
	for i, arg := range args {
		system, done, err := openSystem(cmd, arg, flags)
		if err != nil {
			return diffHint(err)
		}
		defer done()
		systems[i] = system
	}
	d, err := compare.Compare(cmd.Context(), systems[0], systems[1])
	if err != nil {
		return err
	}
	switch {
	case cli.JSON(cmd):
		err = cli.PrintJSON(cmd.OutOrStdout(), d)
	case flags.markdown:
		err = d.Markdown(cmd.OutOrStdout())
	default:
		err = d.Text(cmd.OutOrStdout())
	}
	if err == nil && flags.exitCode && !d.Equal() {
		return cli.Code(exitDiffers)
	}
	return err
}

// openSystem opens what an argument names. A path that is there is that path,
// also with a # in it.
func openSystem(cmd *cobra.Command, arg string, flags diffFlags) (compare.System, func() error, error) {
	fail := func(err error) (compare.System, func() error, error) { return compare.System{}, nil, err }
	path, part := arg, ""
	if cut := strings.LastIndexByte(arg, '#'); cut >= 0 {
		if _, err := os.Lstat(arg); errors.Is(err, fs.ErrNotExist) {
			path, part = arg[:cut], arg[cut+1:]
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return fail(err)
	}
	if part != "" && info.IsDir() {
		return extractSystem(cmd, arg, path, part, flags)
	}
	if part == "" {
		part = flags.slot
	}
	var slot partitions.Slot
	if part != "" {
		if slot, err = partitions.ParseSlot(part); err != nil {
			return fail(cli.Usage(cmd, err))
		}
	}
	s, done, err := compare.Open(path, slot)
	s.Name = arg
	return s, done, err
}

// extractSystem decodes the root image of a version in a repository into a
// file without a name.
func extractSystem(cmd *cobra.Command, arg, dir, version string, flags diffFlags) (compare.System, func() error, error) {
	fail := func(err error) (compare.System, func() error, error) { return compare.System{}, nil, err }
	cfg := repository.ExtractConfig{Dir: dir, Product: flags.product, Progress: cli.Progress(cmd)}
	var err error
	if cfg.Version, err = manifests.ParseVersion(version); err == nil && flags.arch != "" {
		cfg.Arch, err = manifests.ParseArch(flags.arch)
	}
	if err != nil {
		return fail(cli.Usage(cmd, err))
	}
	file, err := os.CreateTemp("", "proa-diff-")
	if err != nil {
		return fail(err)
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return fail(err)
	}
	release, err := repository.Extract(cmd.Context(), cfg, file)
	if err != nil {
		file.Close()
		return fail(repoHint(fmt.Errorf("%s: %w", arg, err)))
	}
	s, err := compare.Read(file, arg)
	if err != nil {
		file.Close()
		return fail(fmt.Errorf("%s: %w", arg, err))
	}
	s.Product, s.Version, s.RootHash = release.Product, string(release.Version), release.Root.Hash.String()
	return s, file.Close, nil
}

func diffHint(err error) error {
	switch {
	case errors.Is(err, compare.ErrUnknown):
		return cli.Hint(err, "name a folder that 'proa build' made, a root.erofs or disk.raw in one, or REPOSITORY#VERSION")
	case errors.Is(err, compare.ErrNoSlot):
		return cli.Hint(err, "leave out --slot and #SLOT, or name a disk")
	}
	return err
}
