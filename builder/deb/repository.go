package deb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// Config says which repository to load.
type Config struct {
	Repository manifests.DebRepository
	Keys       *openpgp.Keyring // that InRelease must be signed by
	Arch       manifests.Arch
	Index      int // of the repository, for its packages
	Now        time.Time
	Progress   progress.Reporter // optional
}

// Load reads the suites of a repository: what they were, in the order asked
// for, and all their packages for c.Arch. Of a package that several suites
// have in the same version, the first one's is there.
//
// Trust goes from the signature of InRelease to the digest of Packages to the
// digest of each .deb file.
func Load(ctx context.Context, fetcher packages.Fetcher, c Config) ([]manifests.LockedRepository, []packages.Package, error) {
	l := &loader{
		Config:  c,
		fetcher: fetcher,
		parser:  control.NewParser(string(c.Arch)),
		seen:    map[identity]bool{},
	}
	if l.Progress == nil {
		l.Progress = progress.Silent()
	}
	if len(l.Repository.Components) == 0 {
		l.Repository.Components = []string{"main"}
	}
	var suites []manifests.LockedRepository
	for _, suite := range c.Repository.Suites {
		step := l.Progress.Step("load "+c.Repository.URL+" "+suite, 0)
		locked, err := l.suite(ctx, suite)
		step.Done(err)
		if err != nil {
			return nil, nil, fmt.Errorf("%s %s: %w", c.Repository.URL, suite, err)
		}
		suites = append(suites, locked)
	}
	return suites, l.found, nil
}

type loader struct {
	Config
	fetcher packages.Fetcher
	parser  *control.Parser
	seen    map[identity]bool
	found   []packages.Package
}

// identity is what tells packages apart.
type identity struct{ name, version, arch string }

func (l *loader) suite(ctx context.Context, suite string) (manifests.LockedRepository, error) {
	locked := manifests.LockedRepository{URL: l.Repository.URL, Suite: suite}
	if l.Keys == nil {
		return locked, errors.New("no keys that it could be signed by are given")
	}
	folder, err := join(l.Repository.URL, "dists/"+suite)
	if err != nil {
		return locked, err
	}
	document, err := l.fetcher.Get(ctx, folder+"/InRelease", maxRelease)
	if err != nil {
		return locked, fmt.Errorf("InRelease: %w", err)
	}
	text, _, err := l.Keys.VerifyInline(document, l.Now)
	if err != nil {
		return locked, fmt.Errorf("InRelease: %w", err)
	}
	r, err := parseRelease(text, l.Now)
	if err == nil {
		err = r.checkSuite(suite)
	}
	if err != nil {
		return locked, fmt.Errorf("InRelease: %w", err)
	}
	for _, component := range l.Repository.Components {
		indexes, err := r.indexes(component, string(l.Arch))
		if err != nil {
			return locked, err
		}
		for _, i := range indexes {
			if err := l.index(ctx, folder, i, r.byHash); err != nil {
				return locked, fmt.Errorf("%s: %w", i.path, err)
			}
		}
	}
	locked.Revision, locked.Digest = r.date, manifests.DigestOf(document)
	return locked, nil
}

func (l *loader) index(ctx context.Context, folder string, i index, byHash bool) error {
	if i.file.size == 0 {
		return nil // an empty component
	}
	if i.file.size > maxPackedFile {
		return fmt.Errorf("%d bytes: want at most %d", i.file.size, maxPackedFile)
	}
	where, err := l.fetchIndex(ctx, folder, i, byHash)
	if err != nil {
		return err
	}
	return parseIndex(ctx, where, i.plain, l.add)
}

// fetchIndex asks for a file by its digest where the archive has that, so that
// an archive that changes meanwhile does no harm.
func (l *loader) fetchIndex(ctx context.Context, folder string, i index, byHash bool) (string, error) {
	names := []string{i.path}
	if byHash {
		names = []string{path.Dir(i.path) + "/by-hash/SHA256/" + i.file.hex, i.path}
	}
	var where string
	for _, name := range names {
		at, err := join(folder, name)
		if err != nil {
			return "", err
		}
		where, _, err = l.fetcher.File(ctx, at, i.file.size, i.file.checksum())
		if err == nil {
			return where, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || name == names[len(names)-1] {
			return "", err
		}
	}
	return where, nil
}

// add takes in a stanza of a Packages file.
func (l *loader) add(s *control.Stanza) error {
	p, err := describe(s, l.parser)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{string(l.Arch), "all"}, p.Arch) {
		return fmt.Errorf("package %s: architecture %s: want %s or all", p.Name, p.Arch, l.Arch)
	}
	id := identity{p.Name, p.Version, p.Arch}
	if l.seen[id] {
		return nil
	}
	if len(l.found) == maxPackages {
		return fmt.Errorf("more than %d packages", maxPackages)
	}
	p.Repository = l.Index
	if err := locate(&p, s, l.Repository.URL); err != nil {
		return err
	}
	l.seen[id] = true
	l.found = append(l.found, p)
	return nil
}
