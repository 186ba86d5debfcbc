package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
)

func newRepoPromoteCommand() *cobra.Command {
	var flags repoFlags
	var demands demandFlags
	var to, product, arch string
	var downgrade bool
	cmd := &cobra.Command{
		Use:   "promote VERSION --to CHANNEL",
		Short: "Move a channel to a release that is published",
		Long: `Move a channel to a release that is published. The release does not change.

With --require rehearsed, the channel moves only if the release came through all
scenes of a rehearsal from the one that the channel has now. It counts what 'proa
rehearse --attest' wrote, if one of the keys of --rehearsal-key has signed it: what is
attached to the release (see 'proa repo attach'), and what --rehearsal names.
--rehearsal-check and --rehearsal-config say what it must have been tried with.`,
		Example: `  proa repo promote 1.1.0 --to stable
  proa repo promote 1.1.0 --to stable --require rehearsed --rehearsal rehearsal.json --rehearsal-key rehearsal.pub`,
		Args: cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			promote := repository.PromoteConfig{To: to, Product: product, AllowDowngrade: downgrade}
			var err error
			if to == "" {
				err = errors.New("no channel: name one with --to, such as stable")
			} else {
				err = manifests.CheckName("channel", to)
			}
			if err == nil {
				promote.Version, err = manifests.ParseVersion(args[0])
			}
			if err == nil && arch != "" {
				promote.Arch, err = manifests.ParseArch(arch)
			}
			if err == nil && product != "" {
				err = manifests.CheckName("product", product)
			}
			if err != nil {
				return cli.Usage(cmd, err)
			}
			if promote.Demand, err = demands.load(cmd); err != nil {
				return err
			}
			if promote.Config, err = flags.config(cmd); err != nil {
				return err
			}
			published, err := repository.Promote(cmd.Context(), promote)
			if err != nil {
				return repoHint(fmt.Errorf("promoting %s: %w", args[0], err))
			}
			return printPublished(cmd, published)
		},
	}
	flags.addRepo(cmd)
	flags.addKeys(cmd)
	demands.add(cmd)
	cmd.Flags().StringVar(&to, "to", "", "channel to move")
	cmd.Flags().StringVar(&product, "product", "", "product of the release (default: the only one of that version)")
	cmd.Flags().StringVar(&arch, "arch", "", "architecture of the release (default: the only one of that version)")
	cmd.Flags().BoolVar(&downgrade, "allow-downgrade", false, "let the channel go to an older version")
	return cmd
}
