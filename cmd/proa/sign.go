package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/builder/sign"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/signing/secureboot"
)

type signOptions struct {
	signerFlags
	output     string
	pcrKey     string
	provenance []string
	passphrase passphraseFlag
	enroll     bool
	again      bool
}

func newSignCommand() *cobra.Command {
	var o signOptions
	cmd := &cobra.Command{
		Use:   "sign RELEASE -o SIGNED (--keys DIR | --key KEY --cert FILE)",
		Short: "Sign a release for UEFI Secure Boot",
		Long: `Sign the kernel image and the boot loader of a release for UEFI Secure Boot and
write a release with them, its disk image made anew. Where the recipe names
secureBoot.pcrKey, what a TPM will measure of the kernel image is signed, too. The
signed release is what is published: the unsigned one stays as it is.

--keys DIR is a folder of 'proa key new --secure-boot', of which the newest key for
db signs. A key may also be in a token, by its URI, for which pkcs11-tool signs:

  pkcs11:token=release;object=db?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/pin

A release that is signed is refused, unless --again, which replaces its signatures.
With --enroll, disk.raw carries the updates that enroll the keys, where systemd-boot
finds them: machines that have no keys yet can take them from there.`,
		Example: `  proa key new --secure-boot -o secure-boot
  proa build -o out/1.0.0 --version 1.0.0
  proa sign out/1.0.0 -o signed/1.0.0 --keys secure-boot`,
		Args: cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.output == "" {
				return cli.Usage(cmd, errors.New("no output: name the folder for the signed release"))
			}
			c, err := o.config(cmd, args[0])
			if err != nil {
				return keyHint(err)
			}
			release, err := sign.Release(cmd.Context(), c)
			if err != nil {
				return signHint(err)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), release)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s signed by %q: %s\n", release.Product, release.Version, c.Signer.Certificate.Subject.CommonName, o.output)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "", "folder for the signed release")
	o.signerFlags.add(cmd)
	flags.StringVar(&o.pcrKey, "pcr-key", "", "private key for PCR policies, as --key (default: pcr.pem of --keys)")
	flags.StringArrayVar(&o.provenance, "provenance-key", nil, "sign the provenance with this key, a file that 'proa key new' made; can be repeated")
	o.passphrase.add(cmd, "of --provenance-key (default: asked for at a terminal)")
	flags.BoolVar(&o.enroll, "enroll", false, "put the updates that enroll --keys on the disk image")
	flags.BoolVar(&o.again, "again", false, "replace the signatures of a release that is signed")
	cli.CompleteFolder(cmd, "output")
	return cmd
}

func (o signOptions) config(cmd *cobra.Command, release string) (sign.Config, error) {
	c := sign.Config{Release: release, Output: o.output, PCRKey: o.pcrKey, Again: o.again, Progress: cli.Progress(cmd)}
	var err error
	if c.Signer, err = o.open(cmd); err != nil {
		return c, err
	}
	if o.enroll && o.keys == "" {
		return c, cli.Usage(cmd, errors.New("--enroll goes with --keys, a folder that has the updates"))
	}
	if c.PCRKey == "" && o.keys != "" {
		c.PCRKey = filepath.Join(o.keys, secureboot.PCR+signing.PrivateKeyEnding)
	}
	if c.Provenance, err = o.passphrase.openKeys(cmd.Context(), o.provenance...); err != nil {
		return c, err
	}
	if o.enroll {
		c.Enroll, err = enrollment(o.keys)
	}
	return c, err
}

// enrollment is the files that systemd-boot enrolls keys from (systemd-boot(7),
// "loader/keys"), by their path on the boot partition.
func enrollment(folder string) (map[string][]byte, error) {
	const most = 64 << 10
	files := map[string][]byte{}
	for _, name := range []string{secureboot.PK, secureboot.KEK, secureboot.DB} {
		content, err := regular.Read(filepath.Join(folder, name+secureboot.UpdateEnding), most)
		if err != nil {
			return nil, err
		}
		files["loader/keys/auto/"+name+secureboot.UpdateEnding] = content
	}
	return files, nil
}

func signHint(err error) error {
	switch {
	case errors.Is(err, secureboot.ErrSigned):
		return cli.Hint(err, "sign the release that the build made, or replace the signatures with --again")
	case errors.Is(err, sign.ErrNoPCR):
		return cli.Hint(err, "name it with --pcr-key, or the folder that has pcr.pem with --keys")
	case errors.Is(err, sign.ErrExists):
		return cli.Hint(err, "name a new folder: releases are never replaced by signed ones")
	case errors.Is(err, examine.ErrNoRelease):
		return cli.Hint(err, "name a folder that 'proa build' made")
	}
	return keyHint(err)
}
