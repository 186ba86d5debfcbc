// Package repomd reads repositories of RPM packages: repodata/repomd.xml, its
// signature, and the lists of packages that it names (createrepo_c(8) writes
// them).
//
// Load says what a repository has for one architecture. Where packages are
// required by paths that the short list does not have, Unlisted says which, and
// Repository.AddFiles looks them up in the long list of all files.
//
// Trust goes from the signature of repomd.xml to the digest of each list to the
// digest of each package. Where a repository does not sign its metadata, and
// the recipe accepts that, the signatures of the packages are all there is.
//
// Packages that belong to module streams are left out: which of them go
// together is not resolved here. Repository.Modular says how many.
package repomd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// Config says which repository to load.
type Config struct {
	URL              string           // the folder that holds repodata, as the recipe has it
	Keys             *openpgp.Keyring // that repomd.xml must be signed by
	UnsignedMetadata bool             // a signature of repomd.xml is not asked for
	Arch             manifests.Arch
	Index            int               // of the repository, for its packages
	Priority         int               // of the repository, for its packages
	Progress         progress.Reporter // optional
	Now              time.Time         // what the signature must be valid at; required
}

// Repository is one that was loaded.
type Repository struct {
	Locked   manifests.LockedRepository
	Packages []packages.Package // in the order of the repository, each name, version and architecture once
	Modular  int                // packages that were left out because they belong to module streams

	fetcher   packages.Fetcher
	progress  progress.Reporter
	filelists *record
	byID      map[string]int // package by the hex digits of its checksum
}

// Load reads a repository, without the long list of files.
func Load(ctx context.Context, fetcher packages.Fetcher, c Config) (Repository, error) {
	if c.Progress == nil {
		c.Progress = progress.Silent()
	}
	at, err := Expand(c.URL, c.Arch)
	if err != nil {
		return Repository{}, fmt.Errorf("repository %.200s: %w", c.URL, err)
	}
	l := &loader{Config: c, fetcher: fetcher, url: at}
	step := c.Progress.Step("load "+at, 0)
	r, err := l.load(ctx)
	step.Done(err)
	if err != nil {
		return Repository{}, fmt.Errorf("repository %s: %w", at, err)
	}
	return r, nil
}

// Arch is what RPM calls an architecture.
func Arch(a manifests.Arch) string {
	if a == manifests.ARM64 {
		return "aarch64"
	}
	return "x86_64"
}

// Expand replaces the variables of a repository's URL: $arch and $basearch.
func Expand(location string, arch manifests.Arch) (string, error) {
	at := strings.NewReplacer("$basearch", Arch(arch), "$arch", Arch(arch)).Replace(location)
	if strings.Contains(at, "$") {
		return "", errors.New("an unknown variable in its URL: want $arch or $basearch")
	}
	return strings.TrimRight(at, "/"), nil
}

// loader is one Load.
type loader struct {
	Config
	fetcher packages.Fetcher
	url     string
}

func (l *loader) load(ctx context.Context) (Repository, error) {
	r := Repository{fetcher: l.fetcher, progress: l.Progress, byID: map[string]int{}}
	data, err := l.trusted(ctx)
	if err != nil {
		return r, err
	}
	index, err := parseIndex(data, l.url)
	if err != nil {
		return r, fmt.Errorf("%s: %w", indexPath, err)
	}
	r.Locked = manifests.LockedRepository{URL: l.url, Revision: index.revision, Digest: manifests.DigestOf(data)}
	primary, ok := index.records["primary"]
	if !ok {
		return r, fmt.Errorf("%s: it names no primary list of packages", indexPath)
	}
	if filelists, ok := index.records["filelists"]; ok {
		r.filelists = &filelists
	}
	modular := map[string]bool{}
	if modules, ok := index.records["modules"]; ok {
		if modular, err = readModules(ctx, l.fetcher, modules); err != nil {
			return r, err
		}
	}
	list := newPrimary(l, modular)
	if err := read(ctx, l.fetcher, primary, maxPrimary, list.parse); err != nil {
		return r, err
	}
	r.Packages, r.Modular = list.found, list.modular
	for i, p := range r.Packages {
		_, id, _ := strings.Cut(string(p.Checksum), ":")
		r.byID[id] = i
	}
	return r, nil
}

const (
	indexPath = "repodata/repomd.xml"
	maxIndex  = 1 << 20 // bytes; those of distributions have some thousands
)

// trusted fetches repomd.xml and makes sure who vouches for it.
func (l *loader) trusted(ctx context.Context) ([]byte, error) {
	data, err := l.fetcher.Get(ctx, l.url+"/"+indexPath, maxIndex)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", indexPath, err)
	}
	if l.UnsignedMetadata {
		return data, nil
	}
	if l.Keys == nil {
		return nil, errors.New("no keys that it could be signed by are given")
	}
	signature, err := l.fetcher.Get(ctx, l.url+"/"+indexPath+".asc", maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: there is no %s.asc", indexPath, openpgp.ErrUnsigned, indexPath)
	}
	if err != nil {
		return nil, fmt.Errorf("%s.asc: %w", indexPath, err)
	}
	if _, err := l.Keys.VerifyDetached(strings.NewReader(string(data)), signature, l.Now); err != nil {
		return nil, fmt.Errorf("%s: %w", indexPath, err)
	}
	return data, nil
}

// below joins the URL or path of a repository and a place in it.
func below(base, href string) (string, error) {
	parts := strings.Split(href, "/")
	for i, part := range parts {
		plain, err := url.PathUnescape(part)
		if err != nil { // not escaped, then
			plain = part
		}
		if plain == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, `/\`) || strings.ContainsFunc(plain, isControl) {
			return "", fmt.Errorf("location %.200q: want a path below the repository, without . and .. in it", href)
		}
		if i == 0 && strings.Contains(plain, ":") {
			return "", fmt.Errorf("location %.200q: want a path, not a URL", href)
		}
		if parts[i] = plain; !manifests.IsPackageFile(base) {
			parts[i] = url.PathEscape(plain)
		}
	}
	return base + "/" + strings.Join(parts, "/"), nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }
