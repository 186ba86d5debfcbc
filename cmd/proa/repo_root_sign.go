package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
)

func newRootSignCommand() *cobra.Command {
	var from string
	var keys []string
	var passphrase passphraseFlag
	cmd := &cobra.Command{
		Use:   "sign FILE --key KEY [--from ROOT]",
		Short: "Add a signature to a root",
		Long: `Sign a root with a private key, and write the signature into its file. The
command needs no network and no repository. Read what 'proa repo root show' says
first, and compare the digest of what is signed with the others who sign.

A key that the new root drops must still sign it, where the root before demands it:
name that root with --from. Several people may sign copies of the file at the same
time; 'proa repo root publish' takes them all.`,
		Example: "  proa repo root sign next.json --key ann.pem --from old-root.json",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(keys) == 0 {
				return cli.Usage(cmd, errors.New("no key: name the file of a private key with --key"))
			}
			draft, err := readDraft(args[0], from)
			if err != nil {
				return rootHint(err)
			}
			ask := passphrase.ask(cmd.Context())
			for _, path := range keys {
				key, err := signing.OpenKeyFile(path, ask)
				if err == nil {
					err = draft.Sign(key)
				}
				if err != nil {
					return rootHint(fmt.Errorf("signing %s: %w", args[0], err))
				}
			}
			content, err := draft.Bytes()
			if err != nil {
				return err
			}
			if err := durable.WriteFile(args[0], content, 0o644); err != nil {
				return err
			}
			return printRoot(cmd, draft)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "`FILE` of a private key that signs: .pem, or .signer for one that is elsewhere")
	passphrase.add(cmd, "of keys that are encrypted (default: asked for at a terminal)")
	addFrom(cmd, &from)
	return cmd
}

func newRootPublishCommand() *cobra.Command {
	var flags repoFlags
	cmd := &cobra.Command{
		Use:   "publish FILE...",
		Short: "Put the next root into the repository",
		Long: `Put a root into the repository, from one file with all signatures or from
several copies with some each. It must follow the repository's newest root, and as
many keys of either must have signed as it demands.

The metadata of roles that get other keys is signed anew, and so is what is about
to expire: --keys must hold those roles' new keys, and the timestamp's. With the
former keys there too, hosts accept the repository at every moment in between;
without them, those that look between two writes try again later. When the command
is interrupted, run it again.`,
		Example: "  proa repo root publish next.json --repo repo --keys keys",
		Args:    cli.MinimumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := flags.config(cmd)
			if err != nil {
				return err
			}
			publish := repository.RootConfig{Config: config}
			for _, path := range args {
				content, err := readRootFile(path)
				if err != nil {
					return err
				}
				publish.Copies = append(publish.Copies, content)
			}
			published, err := repository.PublishRoot(cmd.Context(), publish)
			if err != nil {
				return rootHint(fmt.Errorf("publishing root: %w", err))
			}
			for _, role := range published.Due {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s must be signed anew soon, and its keys are not in %s\n", role, flags.keys)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), published)
			}
			return printPublishedRoot(cmd, published)
		},
	}
	flags.addRepo(cmd)
	flags.addKeys(cmd)
	return cmd
}

func printPublishedRoot(cmd *cobra.Command, p repository.PublishedRoot) error {
	already := ""
	if !p.Changed {
		already = " (as it was)"
	}
	var roles []string
	for _, role := range p.Renewed {
		roles = append(roles, string(role))
	}
	out := &linePrinter{w: cmd.OutOrStdout()}
	out.print("root %d is published%s; signed anew: %s", p.Root.Version, already, strings.Join(roles, ", "))
	if out.err != nil {
		return out.err
	}
	return printMetadata(cmd, p.Metadata)
}
