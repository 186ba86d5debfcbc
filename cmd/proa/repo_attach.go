package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/repository"
)

func newRepoAttachCommand() *cobra.Command {
	var flags repoFlags
	var arch string
	attach := repository.AttachConfig{}
	cmd := &cobra.Command{
		Use:   "attach VERSION FILE...",
		Short: "Put what others have attested of a release beside it",
		Long: `Put what others have attested of a release beside it, where hosts that demand it find
it: rebuilds and scans by 'proa attest', rehearsals by 'proa rehearse --attest', and
SLSA provenance. Each file is a signed in-toto statement in a DSSE envelope, or has
one in each line. The release does not change.

A statement that says the same as an older one of the same keys takes its place.
Signatures are not verified here: each host does that, by the keys that its own
configuration names.`,
		Example: `  proa repo attach 1.1.0 rebuild.json rehearsal.json`,
		Args:    cli.MinimumArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if attach.Version, err = manifests.ParseVersion(args[0]); err == nil && arch != "" {
				attach.Arch, err = manifests.ParseArch(arch)
			}
			if err == nil && attach.Product != "" {
				err = manifests.CheckName("product", attach.Product)
			}
			if err != nil {
				return cli.Usage(cmd, err)
			}
			for _, path := range args[1:] {
				content, err := regular.Read(path, attestationMost)
				if err != nil {
					return err
				}
				attach.Files = append(attach.Files, repository.File{Name: path, Content: content})
			}
			if attach.Config, err = flags.config(cmd); err != nil {
				return err
			}
			done, err := repository.Attach(cmd.Context(), attach)
			if errors.Is(err, repository.ErrAttestsNothing) {
				return cli.Hint(fmt.Errorf("attaching to %s: %w", args[0], err), "'proa attest' and 'proa rehearse --attest' make what can be attached")
			}
			if err != nil {
				return repoHint(fmt.Errorf("attaching to %s: %w", args[0], err))
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), done)
			}
			already := ""
			if !done.Changed {
				already = " (as it was)"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s has %s%s\n", done.Product, done.Version, done.Arch, attestedText(done.Attestations), already)
			return err
		},
	}
	flags.addRepo(cmd)
	flags.addKeys(cmd)
	cmd.Flags().StringVar(&attach.Product, "product", "", "product of the release (default: the only one of that version)")
	cmd.Flags().StringVar(&arch, "arch", "", "architecture of the release (default: the only one of that version)")
	return cmd
}

// attestedText counts attestations by what they are.
func attestedText(all []repository.Attestation) string {
	count := map[string]int{}
	for _, a := range all {
		count[a.Type]++
	}
	var texts []string
	for _, kind := range []struct{ predicateType, one, more string }{
		{manifests.ProvenanceType, "provenance", "provenances"},
		{manifests.RebuildType, "rebuild", "rebuilds"},
		{manifests.RehearsalType, "rehearsal", "rehearsals"},
		{manifests.ScanType, "scan", "scans"},
	} {
		switch n := count[kind.predicateType]; n {
		case 0:
		case 1:
			texts = append(texts, "1 "+kind.one)
		default:
			texts = append(texts, fmt.Sprintf("%d %s", n, kind.more))
		}
	}
	return strings.Join(texts, ", ")
}
