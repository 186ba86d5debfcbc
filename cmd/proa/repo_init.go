package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/repository"
)

func newRepoInitCommand() *cobra.Command {
	var flags repoFlags
	var threshold int
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make an empty repository",
		Long: `Make an empty repository in a new or empty folder. The keys' file names say
which role each signs for. A root key whose private half is not at hand (only its
.pub file) takes part, but --threshold private ones must be here.

Bake DIR/metadata/root.json into images: it is what their hosts trust.`,
		Example: "  proa repo init repo --keys keys\n  proa repo init repo --keys keys --threshold 2",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.dir = args[0]
			config, err := flags.config(cmd)
			if err != nil {
				return err
			}
			err = repository.Init(cmd.Context(), repository.InitConfig{Config: config, RootThreshold: threshold})
			if err != nil {
				return repoHint(fmt.Errorf("making repository: %w", err))
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
	cmd.Flags().IntVar(&threshold, "threshold", 1, "how many root keys must sign a new root")
	return cmd
}
