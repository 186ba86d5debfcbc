package cache_test

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// stocked is a cache with three blobs of 1000 bytes, used 3, 2 and 1 days ago,
// what one of them holds, and a download that has not ended.
func stocked(t *testing.T) (*cache.Cache, string) {
	t.Helper()
	dir := t.TempDir()
	c := open(t, dir)
	var times atomic.Int32
	for day, name := range []string{"", "one", "two", "three"} {
		if day == 0 {
			continue
		}
		data := []byte(name + strings.Repeat(".", 1000-len(name)))
		path, _, err := c.FillBy(t.Context(), packages.Checksum(fmt.Sprintf("sha512:%x", sha512.Sum512(data))), 1000, write(data, &times))
		if err != nil {
			t.Fatal(err)
		}
		ago(t, path, day)
		if name == "three" {
			if _, err := c.Unpacked(t.Context(), newStore(t), manifests.DigestOf(data), "deb 1", everything(writeFile(t, "in place"))); err != nil {
				t.Fatal(err)
			}
			ago(t, filepath.Join(dir, "unpacked/deb 1", manifests.DigestOf(data).Hex()), 0)
		}
	}
	begun := filepath.Join(dir, "partial", manifests.Digest{}.Hex())
	if err := os.WriteFile(begun, []byte("begun"), 0o644); err != nil {
		t.Fatal(err)
	}
	ago(t, begun, 9)
	return c, dir
}

func ago(t *testing.T, path string, days int) {
	t.Helper()
	when := time.Now().AddDate(0, 0, -days)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

// show is what there is: what, kind, size and name.
func show(items []cache.Item) []string {
	var all []string
	for _, i := range items {
		size := i.Size
		if i.What == cache.AnArchive {
			size = 0 // as large as the index happens to be
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %d %s", i.What, i.Kind, size, i.Name)))
	}
	slices.Sort(all)
	return all
}

func TestListSaysWhatThereIs(t *testing.T) {
	c, dir := stocked(t)
	for _, name := range []string{"blobs/sha256/note", "unpacked/deb 1/.proa-tmp-1", "unpacked/deb 1/x"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	items, err := c.List(t.Context())
	want := []string{"blob  1000", "blob  1000", "blob  1000 a 1", "partial  5", "unpacked deb 1 0 a 1"}
	if got := show(items); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v: want %q", got, err, want)
	}
}

func TestPruneRemovesWhatItIsAskedTo(t *testing.T) {
	for name, test := range map[string]struct {
		pruning cache.Pruning
		left    []string
	}{
		"nothing":  {cache.Pruning{}, []string{"blob  1000", "blob  1000", "blob  1000 a 1", "partial  5", "unpacked deb 1 0 a 1"}},
		"old":      {cache.Pruning{NotSince: time.Now().AddDate(0, 0, -2).Add(-time.Hour)}, []string{"blob  1000", "blob  1000", "unpacked deb 1 0 a 1"}},
		"to size":  {cache.Pruning{Bounded: true, To: 2000}, []string{"blob  1000", "unpacked deb 1 0 a 1"}},
		"to 0":     {cache.Pruning{Bounded: true}, nil},
		"all":      {cache.Pruning{All: true}, nil},
		"to large": {cache.Pruning{Bounded: true, To: 1 << 40}, []string{"blob  1000", "blob  1000", "blob  1000 a 1", "partial  5", "unpacked deb 1 0 a 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := stocked(t)
			before, err := c.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			removed, err := c.Prune(t.Context(), test.pruning)
			if err != nil {
				t.Fatal(err)
			}
			left, err := c.List(t.Context())
			if got := show(left); err != nil || len(got) != len(test.left) || len(before) != len(left)+len(removed) {
				t.Errorf("left %q, removed %q, %v: want %q left", got, show(removed), err, test.left)
			}
			blobs := 0
			for _, item := range left {
				if item.What == cache.ABlob {
					blobs++
				}
			}
			if sums := names(t, filepath.Join(dir, "sha512")); len(sums) != blobs {
				t.Errorf("%d other checksums of %d blobs", len(sums), blobs)
			}
		})
	}
}

func TestPruneWaitsForBuilds(t *testing.T) {
	c, dir := stocked(t)
	build := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Prune(ctx, cache.Pruning{All: true, Waiting: cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want it to wait", err)
	}
	if items, err := c.List(t.Context()); err != nil || len(items) != 5 {
		t.Errorf("%d entries are left, %v", len(items), err)
	}
	removed, err := c.Prune(t.Context(), cache.Pruning{All: true, Waiting: func() { build.Close() }})
	if err != nil || len(removed) != 5 {
		t.Errorf("%d were removed, %v", len(removed), err)
	}
}

func TestTwoPrunesDoNotWaitForEachOther(t *testing.T) {
	a, dir := stocked(t)
	b := open(t, dir)
	done := make(chan error)
	for _, c := range []*cache.Cache{a, b} {
		go func() {
			_, err := c.Prune(t.Context(), cache.Pruning{All: true})
			done <- errors.Join(err, c.Close())
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestVerifyFindsAFlippedBitAnywhere(t *testing.T) {
	c, dir := stocked(t)
	checked, faults, err := c.Verify(t.Context(), progress.Silent())
	if err != nil || checked != 4 || len(faults) > 0 {
		t.Fatalf("%d checked, %v, %v", checked, faults, err)
	}
	items, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		if item.What == cache.Partial {
			continue
		}
		path := filepath.Join(dir, "blobs/sha256", item.Digest.Hex())
		if item.What == cache.AnArchive {
			path = filepath.Join(dir, "unpacked", item.Kind, item.Digest.Hex())
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(whole); i += 29 {
			flipped := slices.Clone(whole)
			flipped[i] ^= 1 << (i % 8)
			if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, flipped, 0o644)); err != nil {
				t.Fatal(err)
			}
			if _, faults, err := c.Verify(t.Context(), progress.Silent()); err != nil || len(faults) != 1 || faults[0].Digest != item.Digest || faults[0].What != item.What {
				t.Fatalf("byte %d of %s: %v, %v", i, path, faults, err)
			}
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "blobs/sha256", items[0].Digest.Hex())
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, faults, err = c.Verify(t.Context(), progress.Silent())
	if err == nil {
		err = c.Remove(t.Context(), faults, nil)
	}
	if _, ok := c.Blob(items[0].Digest); ok || err != nil || len(faults) != 1 {
		t.Errorf("a damaged blob is still there: %v, %v", faults, err)
	}
}
