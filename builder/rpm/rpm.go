// Package rpm reads RPM packages (format 3 and 4 of the file, as RPM 4 and 6
// write it: https://rpm-software-management.github.io/rpm/manual/format_v4.html)
// and writes the database in which an image says what it was made of.
//
// Read opens a package; MakeRoom takes from a tree what others have recorded
// there and it replaces; builder/packages lays what it brings into the tree;
// WriteDatabase comes last. Describe reads what a solver wants to know.
//
// What is trusted is the header, by an OpenPGP signature over it alone, and
// then the payload, by the SHA-256 in the header. All metadata of files comes
// from the header: the names in the payload only say which file is meant, and
// contents must have the header's digests. Nothing of the signature header is
// used but the signature. No script is ever run.
//
// The parsers are our own: github.com/sassoftware/go-rpmutils allocates by
// counts it has not checked, and is content with a package without a signature.
// It is an oracle of the tests.
package rpm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/packages"
)

// ReadConfig says how a package is read.
type ReadConfig struct {
	Keys   *openpgp.Keyring // required: one of them must have signed the package
	Source string           // which source brings it, for what it puts into a tree

	unsigned bool // with no Keys: nobody has to vouch for the package; for tests of what is behind signatures
}

var errNoKeys = errors.New("no keys are given that the package must be signed by")

// Read verifies and opens the package at path; contents go to the store. Files
// that a package only claims as its own (%ghost) are not among the entries.
func Read(ctx context.Context, store *content.Store, path string, config ReadConfig) (packages.Payload, error) {
	p, err := read(ctx, store, path, config)
	if err != nil {
		return packages.Payload{}, fmt.Errorf("package %s: %w", filepath.Base(path), err)
	}
	return p, nil
}

func read(ctx context.Context, store *content.Store, path string, config ReadConfig) (p packages.Payload, err error) {
	if config.Keys == nil && !config.unsigned {
		return p, errNoKeys
	}
	o, err := open(path, config.Keys)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, o.file.Close()) }()
	if p.About, err = about(o.header); err != nil {
		return p, err
	}
	files, err := readFiles(o.header)
	if err != nil {
		return p, err
	}
	sum, err := o.verifyPayload(ctx)
	if err != nil {
		return p, err
	}
	expanded, err := o.readPayload(ctx, store, files)
	if err != nil {
		return p, err
	}
	p.Entries = entries(files, config.Source)
	p.Config, p.Owners = configAndOwners(files)
	record, err := o.record(sum, expanded)
	p.Record = map[string][]byte{recordHeader: record}
	return p, err
}

// Describe reads only the verified header of the package at path, as a
// candidate for the solver. URL is the path; Size and Checksum are not set.
func Describe(ctx context.Context, path string, keys *openpgp.Keyring) (packages.Package, error) {
	p, err := describe(ctx, path, keys)
	if err != nil {
		return packages.Package{}, fmt.Errorf("package %s: %w", filepath.Base(path), err)
	}
	p.URL = path
	return p, nil
}

func describe(ctx context.Context, path string, keys *openpgp.Keyring) (packages.Package, error) {
	if err := ctx.Err(); err != nil {
		return packages.Package{}, err
	}
	if keys == nil {
		return packages.Package{}, errNoKeys
	}
	o, err := open(path, keys)
	if err != nil {
		return packages.Package{}, err
	}
	p, err := candidate(o.header)
	return p, errors.Join(err, o.file.Close())
}
