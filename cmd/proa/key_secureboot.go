package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/signing/secureboot"
)

// secureBootKey describes one key for Secure Boot.
type secureBootKey struct {
	Name  string   `json:"name"`
	Files []string `json:"files"`
}

func makeSecureBootKeys(cmd *cobra.Command, folder, product string, roles []string) error {
	if filepath.Ext(folder) == signing.PrivateKeyEnding {
		return cli.Usage(cmd, fmt.Errorf("%s: keys for Secure Boot are several: name a folder", folder))
	}
	var keys []secureboot.KeyFile
	var err error
	switch {
	case len(roles) == 0:
		keys, err = secureboot.CreateKeys(folder, product, time.Now())
	case slices.Equal(roles, []string{secureboot.DB}):
		var key secureboot.KeyFile
		key, err = secureboot.AddDB(folder, product, time.Now())
		keys = append(keys, key)
	default:
		return cli.Usage(cmd, errors.New("with --secure-boot, --role takes db alone: a further key for it"))
	}
	if err != nil {
		return keyHint(err)
	}
	results := []secureBootKey{}
	out := &linePrinter{w: cmd.OutOrStdout()}
	for _, key := range keys {
		results = append(results, secureBootKey(key))
		if !cli.JSON(cmd) {
			for _, file := range key.Files {
				out.print("%s", file)
			}
		}
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), results)
	}
	return out.err
}

func newKeyRevokeCommand() *cobra.Command {
	var folder, output string
	cmd := &cobra.Command{
		Use:   "revoke CERT --keys DIR -o FILE.auth",
		Short: "Revoke a key for Secure Boot",
		Long: `Write an update of dbx, signed by the folder's KEK, that makes firmware refuse
whatever the certificate's key has signed, from when a machine has it. Before
that, the machine must run a release, and have a boot loader, signed by another
key that is enrolled.`,
		Example: "  proa key revoke secure-boot/db.crt --keys secure-boot -o revoke-db.auth",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if folder == "" || output == "" {
				return cli.Usage(cmd, errors.New("name the folder of keys with --keys, and the file to write with -o"))
			}
			certificate, err := secureboot.ReadCertificate(args[0])
			if err != nil {
				return err
			}
			update, err := secureboot.Revoke(folder, certificate, time.Now())
			if err != nil {
				return keyHint(err)
			}
			if err := durable.CreateFile(output, update, 0o644); err != nil {
				return err
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), map[string]string{"revokes": certificate.Subject.CommonName, "file": output})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s revokes %q\n", output, certificate.Subject.CommonName)
			return err
		},
	}
	cmd.Flags().StringVar(&folder, "keys", "", "folder of keys that 'proa key new --secure-boot' made")
	cmd.Flags().StringVarP(&output, "output", "o", "", "file for the update")
	cli.CompleteFolder(cmd, "keys")
	return cmd
}
