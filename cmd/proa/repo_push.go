package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository/ociregistry"
)

func newRepoPushCommand() *cobra.Command {
	var flags repoFlags
	var versions []string
	cmd := &cobra.Command{
		Use:   "push oci://HOST/NAME[:TAG]",
		Short: "Put the repository into an OCI registry, for hosts to update from",
		Long: `Put what hosts need of the repository into an OCI registry, as one artifact with
the tag, which is "latest" if none is given. Hosts whose 'repository' setting is
the same URL update from it. What the registry has already is not sent again.

Hosts see what was pushed, whole, when the tag is moved at the very end. Before
that it is read as they would, by a new one and by one that trusts what the
registry has now: what they would refuse is not pushed.

Credentials are those of docker and podman: log in with either of them.`,
		Example: "  proa repo push oci://ghcr.io/example/os:stable",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config := ociregistry.Config{Dir: flags.dir, UserAgent: "proa/" + cli.Version, Progress: cli.Progress(cmd)}
			var err error
			if config.Reference, err = registry.ParseReference(args[0]); err != nil {
				return cli.Usage(cmd, err)
			}
			for _, text := range versions {
				version, err := manifests.ParseVersion(text)
				if err != nil {
					return cli.Usage(cmd, err)
				}
				config.Versions = append(config.Versions, version)
			}
			pushed, err := ociregistry.Push(cmd.Context(), config)
			if err != nil {
				return pushHint(fmt.Errorf("pushing to %s: %w", config.Reference, err))
			}
			return printPushed(cmd, pushed)
		},
	}
	flags.addRepo(cmd)
	cmd.Flags().StringArrayVar(&versions, "version", nil, "push this release and no other; may be given several times")
	return cmd
}

func pushHint(err error) error {
	switch {
	case errors.Is(err, registry.ErrUnauthorized):
		return cli.Hint(err, "log in with 'docker login' or 'podman login'")
	case errors.Is(err, registry.ErrNotRepository):
		return cli.Hint(err, "something else has this tag: use another")
	case errors.Is(err, ociregistry.ErrRefused):
		return cli.Hint(err, "push from the folder that is ahead, or to another tag")
	}
	return repoHint(err)
}

func printPushed(cmd *cobra.Command, p ociregistry.Pushed) error {
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), p)
	}
	already := ""
	if !p.Changed {
		already = " (as it was)"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s has %d files of %.1f MB%s\nreleases: %d\nuploaded: %.1f MB\nmanifest: %s\nhosts take it until %s\n",
		p.Reference, p.Files, float64(p.Size)/1e6, already, len(p.Releases), float64(p.Uploaded)/1e6, p.Manifest, p.Expires.UTC().Format("2006-01-02 15:04 MST"))
	return err
}
