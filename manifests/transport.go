package manifests

import (
	"errors"
	"fmt"
)

// Transport says how the files of one release travel: the content of a
// release's transport.json, which a repository makes when it publishes. It
// adds no trust in contents, since every decoded byte is checked against the
// Release; it bounds what a host fetches.
type Transport struct {
	Schema  int    `json:"schema"`  // 2
	Release Digest `json:"release"` // of the release.json it belongs to
	// Root is the root image in zstd's seekable format (contrib/seekable_format):
	// independent frames, and a skippable one at the end that hosts do not need.
	Root FetchFile `json:"root"`
	// Index says which frame is which part of the image (package chunkindex).
	Index FetchFile `json:"index"`
	UKI   UKI       `json:"uki"`
	// Deltas are of older releases; [] when there are none. Newest base first.
	Deltas []Delta `json:"deltas"`
}

// FetchFile is a file in the repository's artifacts folder, named by its
// digest (see ArtifactPath).
type FetchFile struct {
	Size   int64  `json:"size"` // bytes
	Digest Digest `json:"digest"`
}

// UKI is the kernel image.
type UKI struct {
	FetchFile
	Parts []UKIPart `json:"parts"` // tile the file in order, cut where its sections begin and end
}

// UKIPart is a part of the kernel image, which a host may have from elsewhere.
type UKIPart struct {
	Size   int64  `json:"size"` // bytes
	Digest Digest `json:"digest"`
	// Root is where the same bytes are in the root image, in bytes; -1 when they
	// are not in it.
	Root int64 `json:"root"`
}

// Delta makes the root image out of that of an older release (package deltas).
type Delta struct {
	Base    HexBytes `json:"base"`    // root hash of the older release
	Version Version  `json:"version"` // of the older release
	FetchFile
	Header FetchFile `json:"header"` // the first bytes of the file, which say what the others are
}

const (
	// DeltasMost is how many deltas a Transport lists.
	DeltasMost = 64
	// UKIPartsMost is how many parts of a kernel image a Transport lists.
	UKIPartsMost = 64
	// IndexSizeMost bounds the bytes of a chunk index, which a host has in memory.
	IndexSizeMost = 8 << 20
	// DeltaHeaderMost bounds the bytes of a delta's header, which a host has in
	// memory.
	DeltaHeaderMost = 8 << 20
)

// ArtifactPath is where a repository keeps the file with digest d, relative to
// its root: "artifacts/<first two hex digits>/<hex>".
func ArtifactPath(d Digest) string {
	return "artifacts/" + d.Hex()[:2] + "/" + d.Hex()
}

// ParseTransport reads a transport.json strictly. Use CheckAgainst before its
// sizes are believed.
func ParseTransport(data []byte) (Transport, error) {
	var t Transport
	err := parseStrict(data, &t, &t.Schema, 2)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return Transport{}, fmt.Errorf("transport: %w", err)
	}
	return t, nil
}

func (t Transport) check() error {
	if t.Release.IsZero() {
		return errors.New("no release")
	}
	if err := t.Root.check("root"); err != nil {
		return err
	}
	if err := t.Index.check("index"); err != nil {
		return err
	}
	if t.Index.Size < 1 || t.Index.Size > IndexSizeMost {
		return fmt.Errorf("index of %d bytes: want 1 to %d", t.Index.Size, IndexSizeMost)
	}
	if err := t.UKI.check(); err != nil {
		return err
	}
	if len(t.Deltas) > DeltasMost {
		return fmt.Errorf("%d deltas: want at most %d", len(t.Deltas), DeltasMost)
	}
	for i, d := range t.Deltas {
		if err := d.check(); err != nil {
			return fmt.Errorf("delta %d: %w", i, err)
		}
		if i > 0 && d.Version.Compare(t.Deltas[i-1].Version) >= 0 {
			return fmt.Errorf("delta of version %s after that of %s: want the newest first", d.Version, t.Deltas[i-1].Version)
		}
	}
	return nil
}

func (u UKI) check() error {
	if err := u.FetchFile.check("uki"); err != nil {
		return err
	}
	if len(u.Parts) > UKIPartsMost {
		return fmt.Errorf("uki in %d parts: want at most %d", len(u.Parts), UKIPartsMost)
	}
	left := u.Size
	for i, p := range u.Parts {
		switch {
		case p.Size < 1 || p.Size > left:
			return fmt.Errorf("part %d of the uki has %d bytes: want 1 to the %d that are left", i, p.Size, left)
		case p.Digest.IsZero():
			return fmt.Errorf("part %d of the uki: no digest", i)
		case p.Root < -1:
			return fmt.Errorf("part %d of the uki is at %d of the root image: want -1 or more", i, p.Root)
		}
		left -= p.Size
	}
	if left != 0 {
		return fmt.Errorf("parts of the uki leave %d bytes out", left)
	}
	return nil
}

func (d Delta) check() error {
	if len(d.Base) != 32 {
		return fmt.Errorf("base of %d bytes: want a root hash of 32", len(d.Base))
	}
	if _, err := ParseVersion(string(d.Version)); err != nil {
		return err
	}
	if err := d.FetchFile.check("file"); err != nil {
		return err
	}
	if most := min(d.Size, DeltaHeaderMost); d.Header.Size < 1 || d.Header.Size > most {
		return fmt.Errorf("header of %d bytes: want 1 to %d", d.Header.Size, most)
	}
	return d.Header.check("header")
}

// CheckAgainst reports how t does not belong to the release r, the digest of
// whose release.json is d: another release, another UKI, parts of the UKI that
// are outside the root image, or a delta of what is not older. That the chunk
// index is of r's image says the index.
func (t Transport) CheckAgainst(r Release, d Digest) error {
	uki, _ := r.Artifact(UKIFile)
	switch {
	case t.Release != d:
		return fmt.Errorf("transport is for release %s: want %s", t.Release, d)
	case t.UKI.FetchFile != FetchFile{uki.Size, uki.Digest}:
		return fmt.Errorf("transport has uki %s: want %s", t.UKI.Digest, uki.Digest)
	}
	size := int64(r.Root.Blocks) * BlockSize
	for i, p := range t.UKI.Parts {
		if p.Root >= 0 && p.Root > size-p.Size {
			return fmt.Errorf("transport has part %d of the uki at %d of the root image, which has %d bytes", i, p.Root, size)
		}
	}
	for _, delta := range t.Deltas {
		if delta.Version.Compare(r.Version) >= 0 {
			return fmt.Errorf("transport has a delta of version %s: want those of versions below %s", delta.Version, r.Version)
		}
	}
	return nil
}

func (f FetchFile) check(what string) error {
	switch {
	case f.Size < 0:
		return fmt.Errorf("%s of %d bytes: want 0 or more", what, f.Size)
	case f.Digest.IsZero():
		return fmt.Errorf("%s: no digest", what)
	}
	return nil
}
