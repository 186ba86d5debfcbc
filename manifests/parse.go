package manifests

import (
	"encoding/json"
	"errors"
	"fmt"
)

const (
	// DocumentMost bounds the bytes of a release.json, transport.json or channel.
	DocumentMost  = 4 << 20
	artifactsMost = 256
	blocksMost    = 1 << 32 // 16 TiB of root image
	// BlockSize is the bytes of a data block and of a hash block.
	BlockSize = 4096
	// ChunkSizeMost bounds the memory that a host needs for one chunk: it has a few
	// of them at once.
	ChunkSizeMost = 8 << 20
)

// ParseRelease reads a release.json strictly: unknown and repeated fields,
// numbers out of bounds, unsorted or repeated artifacts, and a root image
// whose size is not Root.Blocks are errors.
func ParseRelease(data []byte) (Release, error) {
	var r Release
	if err := parseStrict(data, &r, &r.Schema, 1); err != nil {
		return Release{}, fmt.Errorf("release: %w", err)
	}
	if err := r.check(); err != nil {
		return Release{}, fmt.Errorf("release: %w", err)
	}
	return r, nil
}

// Artifact is the artifact of the given name.
func (r Release) Artifact(name string) (Artifact, bool) {
	for _, a := range r.Artifacts {
		if a.Name == name {
			return a, true
		}
	}
	return Artifact{}, false
}

func (r Release) check() error {
	if err := checkIdentity(r.Product, r.Arch, r.Version); err != nil {
		return err
	}
	switch {
	case r.Epoch < 0:
		return fmt.Errorf("epoch %d: want 0 or more", r.Epoch)
	case len(r.Root.Hash) != 32:
		return fmt.Errorf("root hash of %d bytes: want 32", len(r.Root.Hash))
	case len(r.Root.Salt) != 32:
		return fmt.Errorf("salt of %d bytes: want 32", len(r.Root.Salt))
	case r.Root.Blocks < 2 || r.Root.Blocks > blocksMost:
		return fmt.Errorf("root of %d blocks: want 2 to %d", r.Root.Blocks, int64(blocksMost))
	}
	if err := checkArtifacts(r.Artifacts); err != nil {
		return err
	}
	for _, name := range []string{RootFile, UKIFile} {
		if _, ok := r.Artifact(name); !ok {
			return fmt.Errorf("no artifact %s", name)
		}
	}
	if root, _ := r.Artifact(RootFile); root.Size != int64(r.Root.Blocks)*BlockSize {
		return fmt.Errorf("artifact %s of %d bytes: want the %d blocks of the root", RootFile, root.Size, r.Root.Blocks)
	}
	return nil
}

func checkArtifacts(list []Artifact) error {
	if len(list) > artifactsMost {
		return fmt.Errorf("%d artifacts: want at most %d", len(list), artifactsMost)
	}
	for i, a := range list {
		if err := CheckName("artifact", a.Name); err != nil {
			return err
		}
		if i > 0 && a.Name <= list[i-1].Name {
			return fmt.Errorf("artifact %q after %q: want each once, sorted by name", a.Name, list[i-1].Name)
		}
		if err := (FetchFile{a.Size, a.Digest}).check("artifact " + a.Name); err != nil {
			return err
		}
		if a.Name == ReleaseFile || a.Name == ExtensionFile {
			return fmt.Errorf("artifact %s: a release cannot list itself", a.Name)
		}
	}
	return nil
}

// ParseChannel reads a channel strictly.
func ParseChannel(data []byte) (Channel, error) {
	var c Channel
	err := parseStrict(data, &c, &c.Schema, 1)
	if err == nil {
		err = checkIdentity(c.Product, c.Arch, c.Version)
	}
	if err == nil {
		err = CheckName("channel", c.Name)
	}
	if err == nil && c.Release.IsZero() {
		err = errors.New("no release")
	}
	if err != nil {
		return Channel{}, fmt.Errorf("channel: %w", err)
	}
	return c, nil
}

func checkIdentity(product string, arch Arch, version Version) error {
	if err := CheckName("product", product); err != nil {
		return err
	}
	// An absent field never reaches UnmarshalText.
	if _, err := ParseArch(string(arch)); err != nil {
		return err
	}
	_, err := ParseVersion(string(version))
	return err
}

// parseStrict decodes one document of the wanted schema that has every field, and
// each in the one spelling that the document would be written with.
func parseStrict(data []byte, into any, schema *int, want int) error {
	if err := CheckJSON(data, DocumentMost); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return err
	}
	if *schema != want {
		return fmt.Errorf("schema %d: this version reads schema %d", *schema, want)
	}
	written, err := json.Marshal(into)
	if err != nil {
		return err
	}
	return sameJSON(data, written)
}
