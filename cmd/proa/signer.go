package main

import (
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/signing/secureboot"
)

// signerFlags say which key signs programs for Secure Boot.
type signerFlags struct {
	keys        string
	key         string
	certificate string
}

func (f *signerFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.keys, "keys", "", "folder of keys that 'proa key new --secure-boot' made")
	flags.StringVar(&f.key, "key", "", "private key that signs: a file, or the URI of a key in a token (default: of --keys)")
	flags.StringVar(&f.certificate, "cert", "", "certificate of --key, a PEM file")
	cli.CompleteFolder(cmd, "keys")
}

// given reports whether any of them is.
func (f signerFlags) given() bool { return f != signerFlags{} }

// open opens the key, by default the newest of the folder.
func (f signerFlags) open(cmd *cobra.Command) (secureboot.Signer, error) {
	switch {
	case (f.key == "") != (f.certificate == ""):
		return secureboot.Signer{}, cli.Usage(cmd, errors.New("--key and --cert go together"))
	case f.key == "" && f.keys == "":
		return secureboot.Signer{}, cli.Usage(cmd, errors.New("no key: name a folder with --keys, or a key with --key and --cert"))
	}
	if f.key == "" {
		name, err := secureboot.NewestDB(f.keys)
		if err != nil {
			return secureboot.Signer{}, err
		}
		f.key = filepath.Join(f.keys, name+signing.PrivateKeyEnding)
		f.certificate = filepath.Join(f.keys, name+secureboot.CertificateEnding)
	}
	return secureboot.OpenSigner(f.key, f.certificate)
}
