package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
)

func newRepoInitCommand() *cobra.Command {
	var flags repoFlags
	var threshold int
	var roots []string
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make an empty repository",
		Long: `Make an empty repository in a new or empty folder. The keys' file names say
which role each signs for. A root key whose private half is not at hand (only its
.pub file) takes part, but --threshold private ones must be here. Where the root's
keys never meet on one machine, make and sign the root first ('proa repo root'), and
name its file, or its signed copies, with --root; --keys then holds the other roles'
keys.

Bake DIR/metadata/root.json into images: it is what their hosts trust.`,
		Example: "  proa repo init repo --keys keys\n  proa repo init repo --keys keys --threshold 2\n  proa repo init repo --keys online --root root.json",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.dir = args[0]
			if len(roots) > 0 && cmd.Flags().Changed("threshold") {
				return cli.Usage(cmd, errors.New("--threshold and --root: a root that is signed says it itself"))
			}
			config, err := flags.config(cmd)
			if err != nil {
				return err
			}
			first, err := readFirstRoot(roots)
			if err == nil {
				err = repository.Init(cmd.Context(), repository.InitConfig{Config: config, RootThreshold: threshold, Root: first})
			}
			if err != nil {
				return rootHint(fmt.Errorf("making repository: %w", err))
			}
			root := filepath.Join(flags.dir, "metadata", "root.json")
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), map[string]string{"repo": flags.dir, "root": root})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "repository: %s\ntrust root for images: %s\n", flags.dir, root)
			return err
		},
	}
	flags.addKeys(cmd)
	cmd.Flags().StringArrayVar(&roots, "root", nil, "`FILE` of a first root that is signed, in place of root keys")
	cmd.Flags().IntVar(&threshold, "threshold", 1, "how many root keys must sign a new root")
	return cmd
}

// readFirstRoot is the root of the given copies; nil if there are none.
func readFirstRoot(paths []string) (*signing.RootDraft, error) {
	var copies [][]byte
	for _, path := range paths {
		content, err := readRootFile(path)
		if err != nil {
			return nil, err
		}
		copies = append(copies, content)
	}
	if len(copies) == 0 {
		return nil, nil
	}
	return repository.MergeCopies(nil, copies)
}
