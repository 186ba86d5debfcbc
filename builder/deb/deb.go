// Package deb reads Debian packages and the archives that offer them, and
// keeps their database in the image.
//
// Load lists what a repository has, Wanted what a recipe asks for beyond its
// items. Once packages have been chosen and fetched, Read opens each one,
// Prepare and MakeRoom make the tree ready for them, Replaces judges files that
// two of them have, and WriteDatabase records them as dpkg would. Describe is
// for .deb files that no repository lists.
//
// Maintainer scripts are read, and stored in the database, but never run. Nor
// are diversions made, which only scripts can (dpkg-divert). In a small Debian
// 12 only dash does that, to claim /bin/sh, which it has for itself anyway;
// vim-runtime, postgresql-common and some others would move files aside.
//
// Files are owned by the numbers in the archive. Debian allots those that
// packages may carry (Policy, section 9.2.2), so names are not looked up.
package deb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/deb/archive"
	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
)

// Describe reads what a .deb file says of itself. Relations are as they are
// for the architecture of the package, or for the one given where it fits all.
// Its URL is the path, and its Repository 0.
func Describe(ctx context.Context, path string, arch manifests.Arch) (packages.Package, error) {
	p, err := describeFile(ctx, path, arch)
	if err != nil {
		return packages.Package{}, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return p, nil
}

func describeFile(ctx context.Context, path string, all manifests.Arch) (packages.Package, error) {
	opened, err := open(path)
	if err != nil {
		return packages.Package{}, err
	}
	defer opened.file.Close()
	store, err := content.New(os.TempDir())
	if err != nil {
		return packages.Package{}, err
	}
	defer store.Close()
	info, err := readControl(ctx, store, opened.archive.Control)
	if err != nil {
		return packages.Package{}, fmt.Errorf("control.tar: %w", err)
	}
	arch := info.stanza.Value("Architecture")
	if arch == "all" {
		arch = string(all)
	}
	p, err := describe(info.stanza, control.NewParser(arch))
	if err != nil {
		return packages.Package{}, err
	}
	sum := sha256.New()
	if p.Size, err = io.Copy(sum, opened.file); err != nil {
		return packages.Package{}, err
	}
	p.URL, p.Checksum = path, packages.Checksum(fmt.Sprintf("sha256:%x", sum.Sum(nil)))
	return p, nil
}

// Read opens the package at path, with its contents in the store. Source is
// what its nodes say they come from. The digest in the lock vouches for the
// file; Read does not ask again.
func Read(ctx context.Context, store *content.Store, path, source string) (packages.Payload, error) {
	p, err := read(ctx, store, path, source)
	if err != nil {
		return packages.Payload{}, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return p, nil
}

func read(ctx context.Context, store *content.Store, path, source string) (packages.Payload, error) {
	opened, err := open(path)
	if err != nil {
		return packages.Payload{}, err
	}
	defer opened.file.Close()
	info, err := readControl(ctx, store, opened.archive.Control)
	if err != nil {
		return packages.Payload{}, fmt.Errorf("control.tar: %w", err)
	}
	about, err := info.about()
	if err != nil {
		return packages.Payload{}, fmt.Errorf("control.tar: %w", err)
	}
	files, err := readData(ctx, store, opened.archive.Data, source)
	if err != nil {
		return packages.Payload{}, fmt.Errorf("data.tar: %w", err)
	}
	about.Record[recordList] = []byte(files.list.String())
	return packages.Payload{About: about, Entries: files.entries}, nil
}

type opened struct {
	file    *os.File
	archive archive.Archive
}

func open(path string) (opened, error) {
	file, info, err := regular.Open(path)
	if err != nil {
		return opened{}, err
	}
	a, err := archive.Open(file, info.Size())
	if err != nil {
		file.Close()
		return opened{}, err
	}
	return opened{file, a}, nil
}

// expand undoes the compression that the member's name tells.
func expand(ctx context.Context, store *content.Store, m archive.Member) (*content.Expanded, error) {
	expanded, err := store.Expand(ctx, m.Open())
	if err != nil {
		return nil, err
	}
	if expanded.Format != m.Format {
		expanded.Close()
		return nil, fmt.Errorf("is %s: want %s, as its name %q says", expanded.Format, m.Format, m.Name)
	}
	return expanded, nil
}

// files is what data.tar holds.
type files struct {
	entries []tree.Entry
	list    strings.Builder // of all paths, as dpkg's database has it
	listed  map[string]bool
}

func readData(ctx context.Context, store *content.Store, m archive.Member, source string) (*files, error) {
	expanded, err := expand(ctx, store, m)
	if err != nil {
		return nil, err
	}
	defer expanded.Close()
	f := &files{listed: map[string]bool{}}
	sum, err := tarball.Read(ctx, store, source, expanded, f.add)
	switch {
	case err != nil:
		return nil, err
	case !sum.Ended && sum.Entries == 0:
		return nil, errors.New("not a tar archive, or an empty one")
	case !sum.Ended:
		return nil, fmt.Errorf("the archive ends after %d entries without its end mark: %w", sum.Entries, io.ErrUnexpectedEOF)
	case sum.Entries == 0:
		return nil, errors.New("the archive has no entries")
	}
	return f, nil
}

// add takes in an entry. The root is the system's own, whatever a package says
// of it.
func (f *files) add(e tree.Entry) error {
	limits := tree.DefaultLimits()
	clean, err := tree.Clean(e.Path)
	switch {
	case err != nil:
		return err
	case strings.Contains(clean, "\n"):
		return fmt.Errorf("path %.200q: want no newline in it", clean) // as dpkg, whose lists have one path a line
	case len(f.entries) == limits.Entries || int64(f.list.Len()) > limits.Metadata:
		return fmt.Errorf("more than %d entries, or names of more than %d bytes", limits.Entries, limits.Metadata)
	}
	if clean == "." && e.Node != nil && e.Node.Kind != tree.Directory {
		return fmt.Errorf("path %.200q: the root cannot become a %s", e.Path, e.Node.Kind)
	}
	if !f.listed[clean] {
		f.listed[clean] = true
		fmt.Fprintf(&f.list, "/%s\n", clean)
	}
	if clean == "." && e.Node != nil {
		return nil
	}
	e.Path, e.Link = clean, strings.TrimPrefix(e.Link, "./")
	f.entries = append(f.entries, e)
	return nil
}
