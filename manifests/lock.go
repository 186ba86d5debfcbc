package manifests

import (
	"encoding/json"
	"fmt"
	"strings"
)

// LockFile is the name of the lock beside a recipe.
const LockFile = "proa.lock"

// Lock says by digest what the sources of a recipe stand for: the content of
// proa.lock. It is JSON, one value a line, so that two locks can be compared as
// text.
type Lock struct {
	Schema int      `json:"schema"` // 1
	Inputs []Locked `json:"inputs"` // in the order of the recipe's sources, and for each in the order of its architectures
	// Previous is what releases are laid out after, sorted by architecture; none
	// where a layout follows no other.
	Previous []LockedPrevious `json:"previous,omitempty"`
}

// Locked is what one source stands for on one architecture. Exactly one of
// File, Image and Packages is there.
type Locked struct {
	Source string `json:"source"`         // Source.Name
	Path   string `json:"path,omitempty"` // with File: where it is, as the recipe writes it
	Arch   Arch   `json:"arch"`
	// Asked is the digest of all that the recipe says about the source, with the
	// keys it names: when that moves, the lock is no longer for this recipe.
	Asked        Digest             `json:"asked"`
	File         *FetchFile         `json:"file,omitempty"` // of an archive on the host; of the manifest where an image is in a layout folder
	Image        *LockedImage       `json:"image,omitempty"`
	Repositories []LockedRepository `json:"repositories,omitempty"`
	Packages     []LockedPackage    `json:"packages,omitempty"` // sorted by name, then architecture, then version
}

// LockedImage is one image of a registry, for one platform.
type LockedImage struct {
	Reference string       `json:"reference"`      // registry/name:tag as asked for, without a digest
	Index     Digest       `json:"index,omitzero"` // what the tag stood for, when that was an index
	Manifest  LockedBlob   `json:"manifest"`
	Config    LockedBlob   `json:"config"`
	Layers    []LockedBlob `json:"layers"` // the lowest first
}

// LockedBlob is one blob of a registry.
type LockedBlob struct {
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"` // bytes
	Digest    Digest `json:"digest"`
}

// LockedRepository is the state of a package repository that was resolved from.
type LockedRepository struct {
	URL      string `json:"url"`                // the recipe's, with its variables replaced
	Suite    string `json:"suite,omitempty"`    // of a Debian archive
	Revision string `json:"revision,omitempty"` // what the repository calls its state: repomd's revision, or the date of InRelease
	Digest   Digest `json:"digest"`             // of the repomd.xml or InRelease that was trusted
}

// LockedPackage is one package.
type LockedPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"` // as the package manager writes it, with the epoch if there is one
	Arch    string `json:"arch"`    // as the package manager calls it
	URL     string `json:"url"`     // where it was found: an http or https URL, or the recipe's path
	Size    int64  `json:"size"`    // bytes
	Digest  Digest `json:"digest"`
	// Repository is the URL of the one of Repositories that it was found in; empty
	// for a file of the recipe.
	Repository string `json:"repository,omitempty"`
	Named      bool   `json:"named,omitempty"` // the recipe names it; others came as dependencies
}

// ParseLock reads a lock and checks that a build can rely on it.
func ParseLock(data []byte) (Lock, error) {
	var l Lock
	if err := parseStrict(data, &l, &l.Schema, 1); err != nil {
		return Lock{}, err
	}
	if err := l.checkPrevious(); err != nil {
		return Lock{}, fmt.Errorf("previous: %w", err)
	}
	for i, in := range l.Inputs {
		if err := in.check(); err != nil {
			return Lock{}, fmt.Errorf("inputs[%d], %s for %s: %w", i, clip(in.Source), in.Arch, err)
		}
	}
	return l, nil
}

// Encode is the content of proa.lock.
func (l Lock) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(l, "", " ")
	return append(text, '\n'), err
}

// Find is what a source of the given name, asking for what has the given
// digest, stands for.
func (l Lock) Find(source string, arch Arch, asked Digest) (Locked, bool) {
	for _, in := range l.Inputs {
		if in.Source == source && in.Arch == arch && in.Asked == asked {
			return in, true
		}
	}
	return Locked{}, false
}

func (in Locked) check() error {
	if _, err := ParseArch(string(in.Arch)); err != nil {
		return err
	}
	kinds := 0
	for _, given := range []bool{in.File != nil, in.Image != nil, len(in.Packages) > 0} {
		if given {
			kinds++
		}
	}
	word, at, _ := strings.Cut(in.Source, " ")
	registry := word == "oci" && (Source{OCI: at}).InRegistry()
	switch {
	case in.Source == "" || in.Asked.IsZero():
		return fmt.Errorf("want a source and the digest of what it asks for")
	case kinds != 1:
		return fmt.Errorf("want exactly one of file, image and packages")
	case registry != (in.Image != nil):
		return fmt.Errorf("want an image for what is in a registry, and for nothing else")
	case (word == "tar" || word == "oci" && !registry) != (in.File != nil):
		return fmt.Errorf("want a file for what is on this machine, and for nothing else")
	case (word == "deb" || word == "rpm") != (len(in.Packages) > 0):
		return fmt.Errorf("want packages for deb and rpm, and for nothing else")
	case (in.File != nil) != (in.Path != "") || in.File != nil && in.Path != at:
		return fmt.Errorf("path %q: want that of the source where there is a file, and none elsewhere", clip(in.Path))
	case in.File != nil:
		return in.File.check("file")
	case in.Image != nil:
		return in.Image.check()
	}
	return in.checkPackages()
}

func (in Locked) checkPackages() error {
	known := map[string]bool{"": true}
	for i, r := range in.Repositories {
		if r.URL == "" || r.Digest.IsZero() {
			return fmt.Errorf("repositories[%d]: want a url and a digest", i)
		}
		known[r.URL] = true
	}
	for i, p := range in.Packages {
		if p.Name == "" || p.Version == "" || p.Arch == "" || p.URL == "" {
			return fmt.Errorf("packages[%d]: want name, version, arch and url", i)
		}
		if p.Size <= 0 || p.Digest.IsZero() {
			return fmt.Errorf("package %s of %d bytes: want more than 0, and a digest", clip(p.Name), p.Size)
		}
		if !known[p.Repository] {
			return fmt.Errorf("package %s: repository %q: want the url of one in repositories", clip(p.Name), clip(p.Repository))
		}
	}
	return nil
}

func (i LockedImage) check() error {
	if i.Reference == "" {
		return fmt.Errorf("image without a reference")
	}
	const most = 1024 // layers
	if len(i.Layers) == 0 || len(i.Layers) > most {
		return fmt.Errorf("image of %d layers: want 1 to %d", len(i.Layers), most)
	}
	for _, b := range append([]LockedBlob{i.Manifest, i.Config}, i.Layers...) {
		if b.Size < 0 || b.Digest.IsZero() || b.MediaType == "" {
			return fmt.Errorf("blob %s of %d bytes: want a media type, a size and a digest", b.Digest, b.Size)
		}
	}
	return nil
}
