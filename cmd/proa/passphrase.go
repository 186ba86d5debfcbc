package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

// passphraseMost bounds a file with a passphrase, in bytes.
const passphraseMost = 4 << 10

// passphraseFlag says where the passphrase of locked keys is.
type passphraseFlag struct{ file string }

func (f *passphraseFlag) add(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&f.file, "passphrase-file", "", "`FILE` with the passphrase "+what)
}

// read is what the file holds, without the end of its line.
func (f passphraseFlag) read() ([]byte, error) {
	content, err := regular.Read(f.file, passphraseMost)
	if err != nil {
		return nil, fmt.Errorf("passphrase %w", err)
	}
	return []byte(strings.TrimRight(string(content), "\r\n")), nil
}

// ask gives passphrases: the file's, or what is typed at a terminal, once for each
// key, until ctx ends. It is nil where there is neither.
func (f passphraseFlag) ask(ctx context.Context) signing.Passphrase {
	if f.file != "" {
		return func(string) ([]byte, error) { return f.read() }
	}
	terminal := int(os.Stdin.Fd())
	if !term.IsTerminal(terminal) {
		return nil
	}
	typed := map[string][]byte{}
	return func(path string) ([]byte, error) {
		if known, ok := typed[path]; ok {
			return known, nil
		}
		fmt.Fprintf(os.Stderr, "passphrase of %s: ", path)
		secret, err := readHidden(ctx, terminal)
		fmt.Fprintln(os.Stderr)
		if err == nil {
			typed[path] = secret
		}
		return secret, err
	}
}

// readHidden reads a line that the terminal does not show. A read cannot be
// interrupted: when ctx ends it is left alone, and the terminal as it was.
func readHidden(ctx context.Context, terminal int) ([]byte, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return nil, err
	}
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(terminal)
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(terminal, before))
	}
}

// openKeys opens keys that sign at the end of long work, and asks for their
// passphrases before it.
func (f passphraseFlag) openKeys(ctx context.Context, paths ...string) ([]signing.PrivateKey, error) {
	ask := f.ask(ctx)
	var keys []signing.PrivateKey
	for _, path := range paths {
		key, err := signing.OpenKeyFile(path, ask)
		if err == nil {
			key, err = key.Unlock()
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}
