package builder

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/signing"
)

// following is a build that follows the release in a folder.
func following(t *testing.T, c Config, folder string) Config {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, manifests.RootMapFile))
	if err != nil {
		t.Fatal(err)
	}
	c.Previous = text
	c.Lock = manifests.Lock{Schema: 1}.WithPrevious(manifests.LockedPrevious{
		Arch: c.Arch, Version: c.Version, Map: manifests.FetchFile{Size: int64(len(text)), Digest: manifests.DigestOf(text)},
	})
	c.Output = filepath.Join(t.TempDir(), "out")
	return c
}

func TestAReleaseStaysLikeThePreviousOne(t *testing.T) {
	c := config(t, "")
	mustBuild(t, c)
	next := following(t, c, c.Output)
	next.Version = "1.0.1"
	mustBuild(t, next)
	again := following(t, c, c.Output)
	again.Version = "1.0.1"
	mustBuild(t, again)
	same(t, next.Output, again.Output)

	envelope, err := os.ReadFile(filepath.Join(next.Output, manifests.ProvenanceFile))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := signing.OpenUnsealed(envelope, signing.PayloadInToto); err != nil || !bytes.Contains(said, []byte(`"root.map of 1.0.0"`)) {
		t.Errorf("the provenance does not name the previous layout: %s, %v", said, err)
	}
	before, err := os.ReadFile(filepath.Join(c.Output, manifests.RootFile))
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(next.Output, manifests.RootFile))
	if err != nil || len(after) != len(before) {
		t.Fatalf("%d bytes, %v: want %d", len(after), err, len(before))
	}
	differ := 0
	for at := 0; at < len(after); at += manifests.BlockSize {
		if !bytes.Equal(before[at:at+manifests.BlockSize], after[at:at+manifests.BlockSize]) {
			differ++
		}
	}
	// The version is in usr/lib/proa/image.json, at the same length.
	if differ != 1 {
		t.Errorf("%d blocks differ: want 1", differ)
	}
}

func TestOnlyTheLocksPreviousReleaseIsFollowed(t *testing.T) {
	c := config(t, "")
	mustBuild(t, c)
	good := following(t, c, c.Output)
	for what, change := range map[string]func(*Config){
		"no map":          func(c *Config) { c.Previous = nil },
		"no lock":         func(c *Config) { c.Lock = manifests.Lock{} },
		"another map":     func(c *Config) { c.Previous = append(bytes.Clone(c.Previous), '\n') },
		"of another arch": func(c *Config) { c.Lock.Previous[0].Arch = manifests.ARM64 },
	} {
		c := good
		c.Lock.Previous = append([]manifests.LockedPrevious{}, good.Lock.Previous...)
		change(&c)
		if _, err := Build(t.Context(), c); !errors.Is(err, ErrPrevious) {
			t.Errorf("%s: error %v: want ErrPrevious", what, err)
		}
		if _, err := os.Stat(c.Output); err == nil {
			t.Errorf("%s: there is a release", what)
		}
	}
	// What the lock names may itself be hostile.
	hostile := filepath.Join(t.TempDir(), "release")
	if err := os.MkdirAll(hostile, 0o755); err != nil {
		t.Fatal(err)
	}
	text := filemap.Map{{Offset: 8192, Size: 1 << 40, Path: "a"}, {Offset: 4096, Size: 1 << 40, Path: "b"}}.Append(nil)
	if err := os.WriteFile(filepath.Join(hostile, manifests.RootMapFile), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), following(t, c, hostile)); err == nil || errors.Is(err, ErrPrevious) {
		t.Errorf("overlapping extents: %v: want an error of the map's", err)
	}
}
