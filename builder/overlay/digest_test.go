package overlay_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/overlay"
	"github.com/proa-os/proa/manifests"
)

func TestADigestChangesWithWhatArrivesAndWithNothingElse(t *testing.T) {
	digest := func(dir string) manifests.Digest {
		t.Helper()
		d, err := overlay.Digest(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	items := []item{{path: "a/b", body: "x"}, {path: "a/l", target: "b"}}
	first := makeFolder(t, items...)
	base := digest(first)
	if err := os.Chmod(filepath.Join(first, "a/b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if digest(first) != base || digest(makeFolder(t, items[1], items[0])) != base {
		t.Error("umask or order change the digest")
	}
	seen := map[manifests.Digest]string{base: "the same"}
	for name, change := range map[string]func(dir string) error{
		"another content":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "a/b"), []byte("y"), 0o644) },
		"executable":       func(dir string) error { return os.Chmod(filepath.Join(dir, "a/b"), 0o755) },
		"another name":     func(dir string) error { return os.Rename(filepath.Join(dir, "a/b"), filepath.Join(dir, "a/c")) },
		"one more folder":  func(dir string) error { return os.Mkdir(filepath.Join(dir, "z"), 0o755) },
		"one link missing": func(dir string) error { return os.Remove(filepath.Join(dir, "a/l")) },
		"a link's name as text": func(dir string) error {
			if err := os.Remove(filepath.Join(dir, "a/l")); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "a/l"), []byte("b"), 0o644)
		},
	} {
		dir := makeFolder(t, items...)
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		d := digest(dir)
		if other, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
}

func TestADigestEndsWithinAFile(t *testing.T) {
	dir := t.TempDir()
	huge, err := os.Create(filepath.Join(dir, "huge"))
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Close()
	if err := huge.Truncate(1 << 43); err != nil { // a hole that takes hours
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := overlay.Digest(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
