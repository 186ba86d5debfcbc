package tarball_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

func TestPlainArchiveIsReadInPlace(t *testing.T) {
	body := strings.Repeat("in place ", 1000)
	archive := tartest.Archive(tartest.File("f", body))
	path := write(t, archive)
	limits := limits()
	limits.Spool = 0 // nothing may be copied
	store, err := content.NewBounded(t.TempDir(), limits)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	into := tree.New()
	if err := tarball.Add(t.Context(), store, into, tarball.Config{Name: "a", Path: path}); err != nil {
		t.Fatal(err)
	}
	got, err := into.ReadFile("f", 1<<20)
	if err != nil || string(got) != body {
		t.Errorf("read %d bytes, %v: want %d bytes", len(got), err, len(body))
	}
	into = tree.New()
	if err := tarball.Add(t.Context(), store, into, tarball.Config{Name: "a", Reader: bytes.NewReader(archive)}); err == nil {
		t.Error("the stream was not copied, or the limit is not kept")
	}
}

func TestLaterSourceWinsByPath(t *testing.T) {
	lines, err := addBoth(t,
		tartest.Archive(tartest.Dir("d"), tartest.File("d/a", "1"), tartest.File("d/b", "1"), tartest.Symlink("d/unit", "x")),
		tartest.Archive(tartest.File("d/b", "2"), tartest.File("d/unit", ""), tartest.Hardlink("d/h", "d/a")))
	want := []string{
		". directory 0755 0:0", "d directory 0755 0:0", `d/a file 0644 0:0 "1"`, `d/b file 0644 0:0 "2"`,
		"d/h = d/a", `d/unit file 0644 0:0 ""`,
	}
	if err != nil || !slices.Equal(lines, want) {
		t.Errorf("%q, %v: want %q", lines, err, want)
	}
}

func TestConflictOfKindNamesBothSources(t *testing.T) {
	file, dir := tartest.File("etc/x", "x"), tartest.Join(tartest.Dir("etc/x"), tartest.File("etc/x/y", ""))
	for name, archives := range map[string][2][]byte{
		"directory, then file":         {tartest.Archive(dir), tartest.Archive(file)},
		"file, then directory":         {tartest.Archive(file), tartest.Archive(dir)},
		"file, then something below":   {tartest.Archive(file), tartest.Archive(tartest.File("etc/x/y", ""))},
		"implied directory, then file": {tartest.Archive(tartest.File("etc/x/y", "")), tartest.Archive(file)},
		"described again, then file": {tartest.Archive(dir),
			tartest.Archive(tartest.Dir("etc/x"), tartest.File("etc/x", ""))},
		"directory, then link": {tartest.Archive(dir), tartest.Archive(tartest.Symlink("etc/x", "y"))},
	} {
		_, err := addBoth(t, archives[0], archives[1])
		var conflict *tree.ConflictError
		if !errors.As(err, &conflict) {
			t.Errorf("%s: error %v: want a ConflictError", name, err)
			continue
		}
		if conflict.Path != "etc/x" || conflict.Earlier.Source != "first" || conflict.Later.Source != "second" {
			t.Errorf("%s: %+v: want etc/x of first and second", name, conflict)
		}
	}
}

func addBoth(t *testing.T, first, second []byte) ([]string, error) {
	t.Helper()
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	into := tree.New()
	if err := tarball.Add(t.Context(), store, into, tarball.Config{Name: "first", Path: write(t, first)}); err != nil {
		return nil, err
	}
	if err := tarball.Add(t.Context(), store, into, tarball.Config{Name: "second", Path: write(t, second)}); err != nil {
		return nil, err
	}
	return treetest.List(into)
}

// compress runs a compressor that the test cannot do without.
func compress(t *testing.T, data []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

func TestCompressedArchiveCutAnywhereIsRefused(t *testing.T) {
	noise := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(noise)
	archive := tartest.Archive(tartest.File("noise", string(noise)), tartest.File("b", "x"))
	for _, tool := range []string{"gzip", "xz", "zstd"} {
		packed := compress(t, archive, tool, "-c")
		if _, err := add(t, tarball.Config{Name: "whole", Path: write(t, packed)}); err != nil {
			t.Errorf("%s: %v", tool, err)
		}
		for _, cut := range []int{1, 5, 10, 13, 20, 100, 50_000, len(packed) - 20, len(packed) - 9, len(packed) - 4, len(packed) - 1} {
			if _, err := add(t, tarball.Config{Name: "cut", Path: write(t, packed[:cut])}); err == nil {
				t.Errorf("%s cut after %d of %d bytes is accepted", tool, cut, len(packed))
			}
		}
		packed[len(packed)/2] ^= 1
		if _, err := add(t, tarball.Config{Name: "flipped", Path: write(t, packed)}); err == nil {
			t.Errorf("%s with a flipped bit is accepted", tool)
		}
	}
}

func TestConcatenatedMembersAreOneArchive(t *testing.T) {
	archive := tartest.Archive(tartest.File("a", "1"), tartest.File("b", strings.Repeat("2", 5000)))
	for _, tool := range []string{"gzip", "xz", "zstd"} {
		packed := append(compress(t, archive[:700], tool, "-c"), compress(t, archive[700:], tool, "-c")...)
		got, err := add(t, tarball.Config{Name: "members", Path: write(t, packed)})
		if err != nil || len(got) != 3 {
			t.Errorf("%s: %q, %v: want the root, a and b", tool, got, err)
		}
	}
}

func TestBombsAreDefused(t *testing.T) {
	zeros := make([]byte, 16<<20)
	archive := tartest.Archive(tartest.File("zeros", string(zeros)))
	for _, tool := range []string{"gzip", "xz", "zstd"} {
		_, err := add(t, tarball.Config{Name: "bomb", Path: write(t, compress(t, archive, tool, "-c"))})
		if err == nil || !strings.Contains(err.Error(), "200-fold") {
			t.Errorf("%s: error %v: want one about 200-fold expansion", tool, err)
		}
	}
}

func TestCancelledReadEndsThoughItsInputBlocks(t *testing.T) {
	archive := tartest.Archive(tartest.File("f", strings.Repeat("x", 1<<20)))
	for _, n := range []int{0, 3, 600, 300_000} {
		r, w := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			w.Write(archive[:n])
			time.Sleep(20 * time.Millisecond) // so that the reader waits for more
			cancel()
		}()
		store, err := content.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		err = tarball.Add(ctx, store, tree.New(), tarball.Config{Name: "slow", Reader: r})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after %d bytes: %v: want context.Canceled", n, err)
		}
		w.Close()
		store.Close()
	}
}

func TestUnreadableArchivesSayWhy(t *testing.T) {
	dir := t.TempDir()
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink("nowhere", dangling); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:         "is a folder, want a file",
		dangling:    "no such file or directory",
		"/dev/null": "not a tar archive",
	} {
		_, err := add(t, tarball.Config{Name: "source", Path: path})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v: want %q in it", path, err, want)
		}
	}
}

func FuzzArchive(f *testing.F) {
	for _, c := range tartest.Hostile() {
		if len(c.Archive) < 64<<10 {
			f.Add(c.Archive)
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		var results [2]string
		for i := range results {
			store, err := content.NewBounded(dir, content.Limits{Spool: 8 << 20, Expanded: 8 << 20, Ratio: 100, Free: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			into := tree.NewBounded(tree.Limits{Entries: 1000, Bytes: 8 << 20, Metadata: 1 << 20})
			err = tarball.Add(t.Context(), store, into, tarball.Config{Name: "fuzz", Reader: bytes.NewReader(data)})
			lines, readErr := treetest.List(into)
			if readErr != nil {
				t.Fatal(readErr)
			}
			results[i] = fmt.Sprint(err, lines)
			if err := into.Walk(func(path string, _ *tree.Node) error {
				_, err := tree.Clean(path)
				return err
			}); err != nil {
				t.Errorf("outside: %v", err)
			}
			store.Close()
		}
		if results[0] != results[1] {
			t.Errorf("twice the same archive:\n%s\n%s", results[0], results[1])
		}
	})
}

func TestATextualACLIsRefusedNotDropped(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err := w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: map[string]string{"SCHILY.acl.access": "user::rw-\nuser:bob:r--\ngroup::r--\nmask::r--\nother::r--\n"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	err = tarball.Add(t.Context(), store, tree.New(), tarball.Config{Name: "tar a", Reader: &archive})
	if err == nil || !strings.Contains(err.Error(), "SCHILY.acl.access") {
		t.Errorf("got error %v", err)
	}
}
