// Package resolve finds out what the sources of a recipe stand for at this
// moment and writes it down as a lock: images and packages by digest. It asks
// registries and repositories; a build asks neither, but follows the lock.
//
// Lock resolves; Moved says what of a recipe a lock does not answer; Changes
// says what one lock brings over another.
package resolve

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/regular"
)

// Config says what to resolve.
type Config struct {
	Recipe  manifests.Recipe // required
	Folder  string           // required: the recipe's; its paths are relative to it
	Fetcher packages.Fetcher // required
	Now     time.Time        // required: what signatures must be valid at

	// Previous is the lock until now; the zero value when there was none. What it
	// answers stays as it is, but for what Update names.
	Previous manifests.Lock
	Update   Update
	// AllowOlder accepts repositories that are older than they were in Previous.
	AllowOlder bool

	Registry oci.Remote        // how registries are asked
	Progress progress.Reporter // nil: silent
}

// Update says what of a lock is to be newer. The zero value: nothing.
type Update struct {
	All   bool
	Names []string // packages by name; images, archives and other sources as the recipe writes them
}

// resolver is one run.
type resolver struct {
	Config
	used    map[string]bool   // the names of Update that meant something
	written map[string]string // places on the host, by where they are, as the recipe writes them
}

// Lock resolves every source of the recipe for every architecture of it.
func Lock(ctx context.Context, c Config) (manifests.Lock, error) {
	if c.Progress == nil {
		c.Progress = progress.Silent()
	}
	r := &resolver{c, map[string]bool{}, map[string]string{}}
	lock := manifests.Lock{Schema: 1, Inputs: []manifests.Locked{}, Previous: c.Previous.Previous}
	for _, source := range c.Recipe.Sources {
		if !lockable(source) {
			continue
		}
		for _, arch := range c.Recipe.Arch {
			locked, err := r.source(ctx, source, arch)
			if err != nil {
				return manifests.Lock{}, fmt.Errorf("%s: %w", source.Name(), err)
			}
			lock.Inputs = append(lock.Inputs, locked)
		}
	}
	for _, name := range c.Update.Names {
		if !r.used[name] {
			return manifests.Lock{}, &UnknownError{name}
		}
	}
	return lock, nil
}

// UnknownError says that nothing in the lock has a name that was to be updated.
type UnknownError struct{ Name string }

// Error names it.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("%.200q: neither a source of the recipe nor a package in its lock", e.Name)
}

// lockable reports whether a source is something that a lock speaks of. Overlay
// folders belong to the recipe itself, standard input is known when it is read.
func lockable(s manifests.Source) bool { return s.Dir == "" && s.Tar != "-" }

func (r *resolver) source(ctx context.Context, source manifests.Source, arch manifests.Arch) (manifests.Locked, error) {
	asked, err := Asked(source, r.Folder)
	if err != nil {
		return manifests.Locked{}, err
	}
	previous, answered := r.Previous.Find(source.Name(), arch, asked)
	update := r.Update.All || r.names(location(source))
	if answered && !update && !r.namesPackageOf(previous) && source.Locked() {
		return previous, nil
	}
	locked := manifests.Locked{Source: source.Name(), Path: pathOf(source), Arch: arch, Asked: asked}
	switch {
	case source.RPM != nil:
		err = r.rpm(ctx, *source.RPM, &locked, r.held(source, arch, update))
	case source.Deb != nil:
		err = r.deb(ctx, *source.Deb, &locked, r.held(source, arch, update))
	case source.InRegistry():
		err = r.image(ctx, source, &locked)
	default:
		err = r.file(ctx, source, &locked)
	}
	return locked, err
}

// location is how the recipe writes where a source is; empty for packages.
func location(s manifests.Source) string {
	if s.Tar != "" {
		return s.Tar
	}
	return s.OCI
}

// pathOf is where an archive or a layout folder is.
func pathOf(s manifests.Source) string {
	if s.InRegistry() {
		return ""
	}
	return location(s)
}

func (r *resolver) names(name string) bool {
	if name == "" || !slices.Contains(r.Update.Names, name) {
		return false
	}
	r.used[name] = true
	return true
}

func (r *resolver) namesPackageOf(locked manifests.Locked) bool {
	found := false
	for _, p := range locked.Packages {
		found = r.names(p.Name) || found
	}
	return found
}

// held are the packages that stay the files that they are in the previous lock,
// also when the recipe asks for others now.
func (r *resolver) held(source manifests.Source, arch manifests.Arch, update bool) []manifests.LockedPackage {
	if update {
		return nil
	}
	var held []manifests.LockedPackage
	for _, in := range r.Previous.Inputs {
		if in.Source != source.Name() || in.Arch != arch {
			continue
		}
		for _, p := range in.Packages {
			if !r.names(p.Name) {
				held = append(held, p)
			}
		}
	}
	return held
}

// Asked is the digest of all that a recipe says about a source, with the
// contents of the keys that it names.
func Asked(source manifests.Source, folder string) (manifests.Digest, error) {
	question := struct {
		Source manifests.Source
		Keys   []manifests.Digest
	}{Source: source}
	for _, key := range source.Keys() {
		data, err := readKey(inFolder(folder, key))
		if err != nil {
			return manifests.Digest{}, err
		}
		question.Keys = append(question.Keys, manifests.DigestOf(data))
	}
	text, err := json.Marshal(question)
	if err != nil {
		return manifests.Digest{}, err
	}
	return manifests.DigestOf(text), nil
}

// readKey reads a public key.
func readKey(path string) ([]byte, error) {
	const most = 4 << 20 // Debian's keyring with all its signatures has 64 KiB
	data, err := regular.Read(path, most)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return data, nil
}

func inFolder(folder, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}
