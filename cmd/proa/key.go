package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/signing"
)

func newKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make and show signing keys",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeyNewCommand(), newKeyShowCommand(), newKeyRevokeCommand())
	return cmd
}

// keyResult describes one key file.
type keyResult struct {
	Role    signing.Role `json:"role,omitempty"`
	ID      string       `json:"id"`
	Type    string       `json:"type"`
	Private string       `json:"private,omitempty"` // file
	Public  string       `json:"public,omitempty"`  // file
}

func newKeyNewCommand() *cobra.Command {
	var roles []string
	var output, product string
	var forSecureBoot bool
	var passphrase passphraseFlag
	cmd := &cobra.Command{
		Use:   "new [--secure-boot] [--role ROLE,...] -o DIR|FILE.pem",
		Short: "Make keys for repositories, or for Secure Boot",
		Long: `Make ed25519 keys: private keys as PKCS#8 PEM files that only their owner can
read, and the public half of each beside it with the ending .pub.

With a folder as output, there is one key for each role, named for it; with
--role, a role that has a key gets another one (root-2.pem). Give different roles
to different people or machines: root and targets offline, snapshot and timestamp
where 'proa repo refresh' runs. Files are never replaced. With --passphrase-file,
the keys are encrypted, as 'openssl pkcs8' does it.

With --secure-boot, the keys are RSA ones for UEFI Secure Boot, in a folder of their
own: PK, KEK and db, each with a certificate (.crt) and a signed update that enrolls
it (.auth), and pcr, which signs what TPMs measure. With --role db, the folder gets
one more key for db, whose update adds it to what machines have.`,
		Example: `  proa key new -o keys
  proa key new --secure-boot --product edge-gateway -o secure-boot
  proa key new --role root -o keys
  proa key new -o spare.pem`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output == "" {
				return cli.Usage(cmd, errors.New("no output: name a folder or a file ending in .pem"))
			}
			if forSecureBoot && passphrase.file != "" {
				return cli.Usage(cmd, errors.New("--passphrase-file: keys for Secure Boot are not encrypted; a token holds them as safely"))
			}
			if forSecureBoot {
				return makeSecureBootKeys(cmd, output, product, roles)
			}
			plan, err := planKeys(output, roles, cmd.Flags().Changed("role"))
			if err != nil {
				return cli.Usage(cmd, err)
			}
			results := []keyResult{}
			for _, key := range plan {
				if err := makeKey(&key, passphrase); err != nil {
					return keyHint(err)
				}
				results = append(results, key)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), results)
			}
			for _, key := range results {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", key.ID, key.Private); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&roles, "role", nil, "roles to make keys for: root, targets, snapshot, timestamp (default all), or db")
	cmd.Flags().BoolVar(&forSecureBoot, "secure-boot", false, "make keys for UEFI Secure Boot")
	passphrase.add(cmd, "that encrypts the keys")
	cmd.Flags().StringVar(&product, "product", "", "name in the certificates of --secure-boot")
	cmd.Flags().StringVarP(&output, "output", "o", "", "folder for the keys, or the file for a single one")
	return cmd
}

// planKeys says which files to make; it makes nothing.
func planKeys(output string, roles []string, chosen bool) ([]keyResult, error) {
	if filepath.Ext(output) == signing.PrivateKeyEnding {
		if len(roles) > 1 {
			return nil, fmt.Errorf("%d roles for the one file %s: name a folder", len(roles), output)
		}
		for _, name := range roles {
			if _, err := signing.ParseRole(name); err != nil {
				return nil, err
			}
		}
		return []keyResult{{Private: output}}, nil
	}
	if !chosen {
		for _, role := range signing.Roles() {
			roles = append(roles, string(role))
		}
	}
	var plan []keyResult
	taken := map[string]bool{}
	for _, name := range roles {
		role, err := signing.ParseRole(name)
		if err != nil {
			return nil, err
		}
		n := 1
		path := filepath.Join(output, signing.KeyFileName(role, n))
		for taken[path] || exists(path) || exists(signing.PublicKeyPath(path)) {
			if !chosen {
				return nil, fmt.Errorf("%s exists: name the roles that shall get another key", path)
			}
			n++
			path = filepath.Join(output, signing.KeyFileName(role, n))
		}
		taken[path] = true
		plan = append(plan, keyResult{Role: role, Private: path})
	}
	if len(plan) == 0 {
		return nil, errors.New("no role is named")
	}
	return plan, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func makeKey(key *keyResult, passphrase passphraseFlag) error {
	folder := filepath.Dir(key.Private)
	if err := durable.MakeFolder(folder); err != nil {
		return fmt.Errorf("making folder %s: %w", folder, err)
	}
	public, err := createKeyFile(key.Private, passphrase)
	if err != nil {
		return fmt.Errorf("making key: %w", err)
	}
	key.ID, key.Type, key.Public = public.ID(), "ed25519", signing.PublicKeyPath(key.Private)
	return nil
}

func createKeyFile(path string, passphrase passphraseFlag) (signing.PublicKey, error) {
	if passphrase.file == "" {
		return signing.CreateKeyFile(path)
	}
	secret, err := passphrase.read()
	if err != nil {
		return signing.PublicKey{}, err
	}
	return signing.CreateLockedKeyFile(path, secret)
}

func newKeyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Show the id of a key and its public half",
		Long:  "Show the id and the public half of a private key (.pem) or a public one (.pub).",
		Args:  cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			public, err := readAnyKey(args[0])
			if err != nil {
				return keyHint(err)
			}
			text, err := public.PEM()
			if err != nil {
				return err
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), struct {
					ID        string `json:"id"`
					Type      string `json:"type"`
					PublicKey string `json:"publicKey"`
				}{public.ID(), "ed25519", string(text)})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "id: %s\ntype: ed25519\n%s", public.ID(), text)
			return err
		},
	}
}

func readAnyKey(path string) (signing.PublicKey, error) {
	if strings.HasSuffix(path, signing.PublicKeyEnding) {
		return signing.ReadPublicKeyFile(path)
	}
	private, err := signing.ReadKeyFile(path)
	return private.Public(), err
}

// keyHint adds advice about key files.
func keyHint(err error) error {
	switch {
	case errors.Is(err, signing.ErrKeyExposed):
		return cli.Hint(err, "if nobody else can have read it, chmod 600 it; otherwise replace the key")
	case errors.Is(err, signing.ErrKeyLocked):
		return cli.Hint(err, "name the file that holds its passphrase with --passphrase-file, or run this at a terminal")
	case errors.Is(err, os.ErrExist):
		return cli.Hint(err, "keys are never replaced: choose another name, or move the old one away")
	}
	return err
}
