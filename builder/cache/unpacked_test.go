package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
	"github.com/proa-os/proa/manifests"
)

func newStore(t *testing.T) *content.Store {
	t.Helper()
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// everything unpacks to one of each kind of entry.
func everything(inPlace string) cache.Unpack {
	return func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
		spooled, err := into.Spool(ctx, strings.NewReader("spooled content"))
		if err != nil {
			return cache.Unpacked{}, err
		}
		file, err := into.Open(inPlace)
		if err != nil {
			return cache.Unpacked{}, err
		}
		twice := &tree.Node{Kind: tree.File, Mode: 0o600, Source: "deb b", Content: tree.Content{At: file, Offset: 2, Size: 5}}
		return cache.Unpacked{About: []byte(`{"name":"a","version":"1"}`), Entries: []tree.Entry{
			{Path: "usr", Node: &tree.Node{Kind: tree.Directory, Mode: 0o755, Source: "deb a"}},
			{Path: "usr/a", Node: &tree.Node{Mode: 0o4755, UID: 1<<32 - 2, GID: 5, Source: "deb a", Content: spooled, Xattrs: map[string]string{"user.a": "b", "security.capability": "\x00\xff"}}},
			{Path: "usr/twice", Node: twice},
			{Path: "usr/b", Link: "usr/a"},
			{Path: "usr/again", Node: twice},
			{Path: "usr/empty", Node: &tree.Node{Mode: 0o644}},
			{Path: "usr/link", Node: &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: "../b\xff"}},
			{Path: "usr/c", Node: &tree.Node{Kind: tree.CharDevice, Mode: 0o660, Device: tree.Device{Major: 4095, Minor: 1<<20 - 1}}},
			{Path: "usr/d", Node: &tree.Node{Kind: tree.BlockDevice, Device: tree.Device{Major: 8}}},
			{Path: "usr/p", Node: &tree.Node{Kind: tree.FIFO}}, {Path: "usr/s", Node: &tree.Node{Kind: tree.Socket}},
		}}, nil
	}
}

func listing(t *testing.T, u cache.Unpacked) string {
	t.Helper()
	out := tree.New()
	sources := ""
	for _, e := range u.Entries {
		if err := out.Apply(e); err != nil {
			t.Fatal(err)
		}
		if e.Node != nil {
			sources += e.Node.Source + ";"
		}
	}
	lines, err := treetest.List(out)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n") + sources + string(u.About)
}

var archive = manifests.DigestOf([]byte("archive"))

func writeFile(t *testing.T, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpackedIsWhatTheUnpackerSaid(t *testing.T) {
	path := writeFile(t, "in place")
	store := newStore(t)
	fresh, err := everything(path)(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	want := listing(t, fresh)
	dir := t.TempDir()
	for range 2 {
		c := open(t, dir)
		for _, unpack := range []cache.Unpack{everything(path), nil} {
			u, err := c.Unpacked(t.Context(), store, archive, "deb 1", unpack)
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(t, u); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		}
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Unpacked(t.Context(), store, archive, "deb 2", func(context.Context, *content.Store) (cache.Unpacked, error) {
		return cache.Unpacked{}, errors.New("another version")
	}); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("error %v: want another version to be unpacked anew", err)
	}
	for _, kind := range []string{"", "../x", "A", "a/b", ".proa-tmp-1"} {
		if _, err := open(t, dir).Unpacked(t.Context(), store, archive, kind, nil); err == nil {
			t.Errorf("kind %q is accepted", kind)
		}
	}
}

func TestAnArchiveIsUnpackedOnceByMany(t *testing.T) {
	dir := t.TempDir()
	caches := []*cache.Cache{open(t, dir), open(t, dir)} // as two processes
	store := newStore(t)
	var times atomic.Int32
	var wait sync.WaitGroup
	for i := range 60 {
		data := bytes.Repeat([]byte{byte(i % 6)}, 1<<20+i%6)
		wait.Go(func() {
			u, err := caches[i%2].Unpacked(t.Context(), store, manifests.DigestOf(data), "tar 1", func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
				times.Add(1)
				kept, err := into.Spool(ctx, bytes.NewReader(data))
				return cache.Unpacked{Entries: []tree.Entry{{Path: "f", Node: &tree.Node{Content: kept}}}}, err
			})
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := io.ReadAll(u.Entries[0].Node.Content.Open()); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wait.Wait()
	if times.Load() != 6 {
		t.Errorf("6 archives were unpacked %d times", times.Load())
	}
}

func TestADamagedEntryIsUnpackedAnew(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t)
	path := writeFile(t, "in place")
	c := open(t, dir)
	times := 0
	unpack := func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
		times++
		return everything(path)(ctx, into)
	}
	first, err := c.Unpacked(t.Context(), store, archive, "deb 1", unpack)
	if err != nil {
		t.Fatal(err)
	}
	want := listing(t, first)
	entry := filepath.Join(dir, "unpacked/deb 1", archive.Hex())
	whole, err := os.ReadFile(entry)
	if err != nil {
		t.Fatal(err)
	}
	const contents = len("spooled content") + 5
	damaged := [][]byte{nil, whole[:1], whole[:len(whole)-1], append(bytes.Clone(whole), 0), whole[1:], make([]byte, len(whole)), whole[contents:]}
	for i := contents; i < len(whole); i++ {
		if i >= len(whole)-64 && i < len(whole)-32 {
			continue // the sum of the contents, which are not read
		}
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		damaged = append(damaged, flipped)
	}
	for i, data := range damaged {
		if err := errors.Join(os.Remove(entry), os.WriteFile(entry, data, 0o444)); err != nil {
			t.Fatal(err)
		}
		times = 0
		u, err := c.Unpacked(t.Context(), store, archive, "deb 1", unpack)
		if err != nil || times != 1 {
			t.Fatalf("damage %d: unpacked %d times, %v", i, times, err)
		}
		if got := listing(t, u); i < 10 && got != want {
			t.Errorf("damage %d: got:\n%s", i, got)
		}
	}
	// Another archive's entry under this one's name.
	other := filepath.Join(dir, "unpacked/deb 1", manifests.Digest{}.Hex())
	if err := os.Rename(entry, other); err != nil {
		t.Fatal(err)
	}
	times = 0
	if _, err := c.Unpacked(t.Context(), store, manifests.Digest{}, "deb 1", unpack); err != nil || times != 1 {
		t.Errorf("unpacked %d times, %v", times, err)
	}
}

func TestAFailureLeavesNothingUnpacked(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	store := newStore(t)
	broken := errors.New("broken")
	_, err := c.Unpacked(t.Context(), store, archive, "deb 1", func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
		_, err := into.Spool(ctx, strings.NewReader("half"))
		return cache.Unpacked{}, errors.Join(err, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	short := tree.Content{At: strings.NewReader("abc"), Size: 5}
	_, err = c.Unpacked(t.Context(), store, archive, "deb 1", func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
		return cache.Unpacked{Entries: []tree.Entry{{Path: "short", Node: &tree.Node{Content: short}}}}, nil
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "short") {
		t.Errorf("error %v", err)
	}
	if left := names(t, filepath.Join(dir, "unpacked/deb 1")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestContentsOfManyArchivesNeedFewOpenFiles(t *testing.T) {
	c := open(t, t.TempDir())
	store := newStore(t)
	var all []cache.Unpacked
	for i := range 200 {
		data := fmt.Sprint("content ", i)
		u, err := c.Unpacked(t.Context(), store, manifests.DigestOf([]byte(data)), "tar 1", func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
			kept, err := into.Spool(ctx, strings.NewReader(data))
			return cache.Unpacked{Entries: []tree.Entry{{Path: "f", Node: &tree.Node{Content: kept}}}}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	before := len(names(t, "/proc/self/fd"))
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			for i := range all {
				i = (i*(g+1) + g) % len(all)
				got, err := io.ReadAll(all[i].Entries[0].Node.Content.Open())
				if err != nil || string(got) != fmt.Sprint("content ", i) {
					t.Errorf("content %d: %q, %v", i, got, err)
				}
			}
		})
	}
	wait.Wait()
	if after := len(names(t, "/proc/self/fd")); after-before > 70 {
		t.Errorf("%d files are open", after-before)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := all[0].Entries[0].Node.Content.Open().Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v: want one about the closed cache", err)
	}
}

// TestAKilledBuildLeavesNothingToBeMistaken kills this program, started again,
// in the middle of bringing and of unpacking.
func TestAKilledBuildLeavesNothingToBeMistaken(t *testing.T) {
	if dir := os.Getenv("CACHE_TO_DIE_IN"); dir != "" {
		die(t, dir)
		return
	}
	dir := t.TempDir()
	for _, in := range []string{"bring", "unpack"} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "CACHE_TO_DIE_IN="+dir, "DIE_IN="+in)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if temp := names(t, filepath.Join(dir, "unpacked/deb 1")); len(temp) != 1 {
		t.Errorf("the killed program left %v", temp)
	}
	c := open(t, dir)
	if _, ok := c.Blob(archive); ok {
		t.Error("there is a blob")
	}
	if temp := names(t, filepath.Join(dir, "unpacked/deb 1")); len(temp) > 0 {
		t.Errorf("what it was unpacking is still there: %v", temp)
	}
	var times atomic.Int32
	data := []byte("archive")
	found := ""
	_, err := c.Fill(t.Context(), wantOf(data), func(ctx context.Context, partial string) error {
		begun, err := os.ReadFile(partial)
		found = string(begun)
		return errors.Join(err, write(data, &times)(ctx, partial))
	})
	if err != nil || found != "arch" {
		t.Errorf("found %q of the earlier attempt, %v", found, err)
	}
	if _, err := c.Unpacked(t.Context(), newStore(t), archive, "deb 1", everything(writeFile(t, "in place"))); err != nil {
		t.Error(err)
	}
}

func die(t *testing.T, dir string) {
	c := open(t, dir)
	kill := func() {
		process, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = process.Kill()
		}
		t.Error(err)
		select {}
	}
	if os.Getenv("DIE_IN") == "bring" {
		c.Fill(t.Context(), wantOf([]byte("archive")), func(_ context.Context, partial string) error {
			if err := os.WriteFile(partial, []byte("arch"), 0o644); err != nil {
				return err
			}
			kill()
			return nil
		})
	}
	c.Unpacked(t.Context(), newStore(t), archive, "deb 1", func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
		_, err := into.Spool(ctx, bytes.NewReader(slices.Repeat([]byte("half"), 1<<20)))
		kill()
		return cache.Unpacked{}, err
	})
}

func BenchmarkLoad13000Files(b *testing.B) {
	c, err := cache.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	store, err := content.New(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	load := func() {
		for p := range 130 {
			_, err := c.Unpacked(b.Context(), store, manifests.DigestOf([]byte{byte(p)}), "deb 1", func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
				var u cache.Unpacked
				for f := range 100 {
					kept, err := into.Spool(ctx, strings.NewReader("content"))
					if err != nil {
						return u, err
					}
					u.Entries = append(u.Entries, tree.Entry{Path: fmt.Sprintf("usr/share/doc/package-%d/file-%d", p, f), Node: &tree.Node{Mode: 0o644, Source: "deb package", Content: kept}})
				}
				return u, nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	load()
	for b.Loop() {
		load()
	}
}
