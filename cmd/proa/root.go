package main

import (
	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "proa",
		Short: "Build immutable operating systems and keep them up to date",
		Long: `proa makes releases of an immutable operating system and the repository that
hosts update themselves from.

A recipe says what the system is made of, and 'proa lock' writes down by digest
what that stands for. From both, 'proa build' makes a release: a read-only root
image protected by dm-verity, a unified kernel image that names it by its root
hash, and a disk image to start machines from. 'proa diff' shows what a release
changes, 'proa repo' signs and publishes releases.`,
		Example: `  proa init edge && cd edge
  proa lock
  proa build -o out/1.0.0 --version 1.0.0 --locked
  proa key new --role root,targets,snapshot,timestamp -o keys
  proa repo init repo --keys keys
  proa repo publish out/1.0.0 --repo repo --keys keys --channel stable
  proa serve repo`,
	}
	cli.AddOutputFlags(root)
	cli.AddVersion(root)
	root.AddCommand(
		newInitCommand(),
		newLockCommand(),
		newBuildCommand(),
		newSignCommand(),
		newConvertCommand(),
		newInstallCommand(),
		newVendorCommand(),
		newInspectCommand(),
		newVerifyCommand(),
		newDiffCommand(),
		newKeyCommand(),
		newRepoCommand(),
		newRehearseCommand(),
		newAttestCommand(),
		newCacheCommand(),
		newServeCommand(),
		newSchemaCommand(),
		cli.NewVersionCommand(),
		cli.NewManCommand(),
	)
	return root
}
