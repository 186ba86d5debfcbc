package rpm

import (
	"context"
	"errors"
	"fmt"

	"github.com/proa-os/proa/builder/tree"
)

// Installed is what a database says of one package.
type Installed struct {
	Name, Version, Arch      string // version with epoch and release, as rpm writes it; keys have no architecture
	Source                   string // file name of the source package
	License, Vendor, Summary string
	Files                    []string // paths in the tree, without leading slash, of what is installed
}

// What all packages of a database may list together.
const (
	maxListed      = 4 << 20   // files
	maxListedPaths = 512 << 20 // bytes
)

// List reads a database of rpm 4.16 or later, a SQLite file of the tree, in
// the order of its records.
func List(ctx context.Context, t *tree.Tree, file string) ([]Installed, error) {
	var all []Installed
	files, paths := 0, 0
	err := readBlobs(ctx, t, file, func(number int64, blob []byte) error {
		h, _, err := parseHeader(blob, tagImmutable)
		if err != nil {
			return fmt.Errorf("package %d: the header %w", number, err)
		}
		one, err := listed(h)
		if err != nil {
			return fmt.Errorf("package %d: %w", number, err)
		}
		files += len(one.Files)
		for _, name := range one.Files {
			paths += len(name)
		}
		if files > maxListed || paths > maxListedPaths {
			return fmt.Errorf("more than %d files, or %d bytes of their paths", maxListed, maxListedPaths)
		}
		all = append(all, one)
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return all, nil
}

func listed(h *header) (Installed, error) {
	var one Installed
	var err error
	if one.Name, one.Version, one.Arch, err = words(h); err != nil {
		return one, err
	}
	for _, field := range []struct {
		into *string
		tag  tag
	}{{&one.Source, tagSourceRPM}, {&one.License, tagLicense}, {&one.Vendor, tagVendor}, {&one.Summary, tagSummary}} {
		text, missing := h.string(field.tag)
		*field.into, err = text, errors.Join(err, missing)
	}
	if err != nil {
		return one, err
	}
	one.Files, err = recordedFiles(h)
	for i, name := range one.Files {
		one.Files[i] = name[1:]
	}
	return one, err
}
