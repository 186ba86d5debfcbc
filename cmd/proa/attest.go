package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/signing"
)

func newAttestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attest",
		Short: "Say of a release, signed, what hosts may demand",
		Long: `Say of a release, signed by a key of your own, what hosts may demand of it: in-toto
statements in DSSE envelopes. 'proa repo attach' puts them beside the release, and
"demands" in the configuration of the agent says which of them a host wants to see.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAttestRebuildCommand(), newAttestVulnerabilitiesCommand())
	return cmd
}

// statementFlags are those of commands that write a signed statement.
type statementFlags struct {
	key        string
	output     string
	passphrase passphraseFlag
}

func (f *statementFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.key, "key", "", "key that signs, a file that 'proa key new' made (required)")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "file to make (required)")
	f.passphrase.add(cmd, "of --key (default: asked for at a terminal)")
}

// open opens the key, and wants the file not to be there: one of an earlier run would
// be taken for this one's where this one fails.
func (f *statementFlags) open(ctx context.Context, cmd *cobra.Command) ([]signing.PrivateKey, error) {
	switch {
	case f.key == "":
		return nil, cli.Usage(cmd, errors.New("no key: name the one that signs with --key"))
	case f.output == "":
		return nil, cli.Usage(cmd, errors.New("--output is missing: name the file to make"))
	}
	if _, err := os.Lstat(f.output); err == nil {
		return nil, cli.Hint(fmt.Errorf("%s exists already", f.output), "name another with -o, or remove it")
	}
	if info, err := os.Stat(filepath.Dir(f.output)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s: its folder is not there", f.output)
	}
	keys, err := f.passphrase.openKeys(ctx, f.key)
	return keys, keyHint(err)
}

// write signs a statement and writes it.
func (f *statementFlags) write(statement []byte, keys []signing.PrivateKey) error {
	envelope, err := signing.Seal(signing.PayloadInToto, statement, keys...)
	if err != nil {
		return fmt.Errorf("signing the attestation: %w", err)
	}
	return durable.WriteFile(f.output, envelope, 0o644)
}
