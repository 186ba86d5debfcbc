package repository

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/manifests"
)

func TestExtractedRootIsThePublishedOne(t *testing.T) {
	cfg := makeRepository(t)
	images := map[manifests.Version][]byte{}
	for seed, version := range []manifests.Version{"1.0.0", "1.1.0"} {
		images[version] = fakeImage(uint64(seed), pieceMost+8192)
		publish(t, cfg, makeRelease(t, "edge", string(version), images[version]), "stable")
	}
	for version, image := range images {
		var out bytes.Buffer
		release, err := Extract(t.Context(), ExtractConfig{Dir: cfg.Dir, Version: version}, &out)
		if err != nil || release.Version != version || !bytes.Equal(out.Bytes(), image) {
			t.Errorf("%s: %d bytes of version %s, %v", version, out.Len(), release.Version, err)
		}
	}
	var out bytes.Buffer
	if _, err := Extract(t.Context(), ExtractConfig{Dir: cfg.Dir, Version: "9"}, &out); !errors.Is(err, ErrNoRelease) {
		t.Errorf("a version that is not there: %v", err)
	}
	if _, err := Extract(t.Context(), ExtractConfig{Dir: t.TempDir(), Version: "9"}, &out); !errors.Is(err, ErrNoRepository) {
		t.Errorf("no repository: %v", err)
	}
	publish(t, cfg, makeRelease(t, "other", "1.0.0", images["1.0.0"]), "stable")
	if _, err := Extract(t.Context(), ExtractConfig{Dir: cfg.Dir, Version: "1.0.0"}, &out); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("two products: %v", err)
	}
}

func TestDamagedRootIsNotExtracted(t *testing.T) {
	cfg := makeRepository(t)
	published := publish(t, cfg, makeRelease(t, "edge", "1.0.0", fakeImage(7, pieceMost+8192)), "stable")
	path := filepath.Join(cfg.Dir, filepath.FromSlash(manifests.ArtifactPath(published.Root.Digest)))
	good, err := os.ReadFile(path)
	check(t, err)
	for name, change := range map[string]func([]byte) []byte{
		"shorter":       func(b []byte) []byte { return b[:len(b)-1] },
		"a bit flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
	} {
		check(t, os.Chmod(path, 0o644))
		check(t, os.WriteFile(path, change(bytes.Clone(good)), 0o644))
		if _, err := Extract(t.Context(), ExtractConfig{Dir: cfg.Dir, Version: "1.0.0"}, &bytes.Buffer{}); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
