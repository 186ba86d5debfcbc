package content_test

import (
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
	"sync"
	"testing"
	"testing/iotest"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
)

func newStore(t *testing.T, limits content.Limits) *content.Store {
	t.Helper()
	dir := t.TempDir()
	store, err := content.NewBounded(dir, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in the folder: %v, %v", left, err)
		}
		store.Close()
	})
	return store
}

func noise(seed byte, n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func TestSpooledContentsReadBackWhileOthersAreWritten(t *testing.T) {
	store := newStore(t, content.DefaultLimits())
	sizes := []int{0, 1, 511, 1 << 20, 1<<20 - 1, 3<<20 + 7, 100, 1 << 19}
	kept := make([]tree.Content, 0, len(sizes))
	check := func(i int) {
		data, err := io.ReadAll(kept[i].Open())
		if err != nil || !bytes.Equal(data, noise(byte(i), sizes[i])) {
			t.Errorf("content %d: %d bytes, %v: want the %d that were spooled", i, len(data), err, sizes[i])
		}
	}
	for i, size := range sizes {
		c, err := store.Spool(t.Context(), iotest.HalfReader(bytes.NewReader(noise(byte(i), size))))
		if i%2 == 0 || err != nil {
			c, err = store.Spool(t.Context(), bytes.NewReader(noise(byte(i), size)))
		}
		if err != nil || c.Size != int64(size) {
			t.Fatalf("content of %d bytes: %d, %v", size, c.Size, err)
		}
		kept = append(kept, c)
		for j := range kept {
			check(j)
		}
	}
	var wait sync.WaitGroup
	for i := range kept {
		wait.Go(func() { check(i) })
		wait.Go(func() {
			if _, err := store.Spool(t.Context(), bytes.NewReader(noise(9, 1<<18))); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestContentsAreReadAtTheMomentTheyAreWritten(t *testing.T) {
	store := newStore(t, content.DefaultLimits())
	const size = 100_000
	for i := range byte(100) {
		data := noise(i, size)
		c, err := store.Spool(t.Context(), bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				for range 1000 {
					var b [100]byte
					if n, err := c.At.ReadAt(b[:], c.Offset+size-100); err != nil || !bytes.Equal(b[:n], data[size-100:]) {
						t.Errorf("content %d: %d bytes, %v: want its last 100", i, n, err)
						return
					}
				}
			})
		}
		if _, err := store.Spool(t.Context(), bytes.NewReader(make([]byte, 1<<20))); err != nil {
			t.Error(err)
		}
		wait.Wait()
	}
}

// TestSpoolOfWhatIsSpooled is what an image in a compressed archive does.
func TestSpoolOfWhatIsSpooled(t *testing.T) {
	store := newStore(t, content.DefaultLimits())
	data := noise(1, 3<<20+5)
	first, err := store.Spool(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	second, err := store.Spool(t.Context(), first.Open())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(second.Open()); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v: want %d", len(got), err, len(data))
	}
}

func TestSpoolReportsWhatWentWrong(t *testing.T) {
	store := newStore(t, content.Limits{Spool: 1000})
	if _, err := store.Spool(t.Context(), bytes.NewReader(make([]byte, 1001))); err == nil {
		t.Error("more than the limit was kept")
	}
	broken := errors.New("broken")
	if _, err := store.Spool(t.Context(), iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error %v: want the reader's", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Spool(ctx, rand.NewChaCha8([32]byte{})); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want context.Canceled", err)
	}
	if _, err := content.New(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v: want one about the folder", err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if _, err := file.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v: want the file to be closed", err)
	}
}

func tool(t *testing.T, data []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

func TestExpandUndoesWhatTheToolsDo(t *testing.T) {
	store := newStore(t, content.DefaultLimits())
	data := slices.Concat(noise(1, 1<<20), bytes.Repeat([]byte("text "), 100_000))
	for _, c := range []struct {
		format content.Format
		args   []string
	}{
		{content.Plain, []string{"cat"}}, {content.Gzip, []string{"gzip", "-9"}},
		{content.XZ, []string{"xz", "-0"}}, {content.XZ, []string{"xz", "-9", "--check=sha256"}},
		{content.XZ, []string{"xz", "--block-size=100000"}},
		{content.XZ, []string{"xz", "--check=crc32", "--x86", "--lzma2"}}, {content.XZ, []string{"xz", "--delta=dist=4", "--lzma2"}},
		{content.XZ, []string{"xz", "--check=none"}},
		{content.Bzip2, []string{"bzip2", "-1"}}, {content.Bzip2, []string{"bzip2", "-9"}},
		{content.Zstd, []string{"zstd", "-19"}}, {content.Zstd, []string{"zstd", "--long=27", "--check"}},
	} {
		packed := tool(t, data, c.args[0], c.args[1:]...)
		e, err := store.Expand(t.Context(), iotest.HalfReader(bytes.NewReader(packed)))
		if err != nil {
			t.Errorf("%v: %v", c.args, err)
			continue
		}
		got, err := io.ReadAll(e)
		if err != nil || !bytes.Equal(got, data) || e.Format != c.format {
			t.Errorf("%v: %d bytes of %s, %v: want %d of %s", c.args, len(got), e.Format, err, len(data), c.format)
		}
		e.Close()
	}
}

// TestExpandFindsAFlippedBitInAnyByte is also true of what is behind the data, such
// as the index of xz, and of a stream that is cut anywhere.
func TestExpandFindsAFlippedBitInAnyByte(t *testing.T) {
	store := newStore(t, content.DefaultLimits())
	data := []byte(strings.Repeat("some text to pack ", 20))
	expand := func(packed []byte) ([]byte, error) {
		e, err := store.Expand(t.Context(), bytes.NewReader(packed))
		if err != nil {
			return nil, err
		}
		defer e.Close()
		return io.ReadAll(e)
	}
	for _, args := range [][]string{{"xz"}, {"xz", "--check=sha256"}, {"xz", "--block-size=100"}, {"bzip2"}} {
		packed := tool(t, data, args[0], args[1:]...)
		for i := range packed {
			flipped := bytes.Clone(packed)
			flipped[i] ^= 1 << (i % 8)
			got, err := expand(flipped)
			// Without its magic it is a plain file.
			if err == nil && !bytes.Equal(got, data) && !bytes.Equal(got, flipped) {
				t.Errorf("%v: a bit of byte %d is flipped: %d bytes without an error", args, i, len(got))
			}
		}
		for n := 6; n < len(packed); n++ {
			if got, err := expand(packed[:n]); err == nil {
				t.Errorf("%v: %d of %d bytes: %d without an error", args, n, len(packed), len(got))
			}
		}
		if got, err := expand(slices.Concat(packed, packed)); err != nil || len(got) != 2*len(data) {
			t.Errorf("%v twice: %d bytes, %v: want %d", args, len(got), err, 2*len(data))
		}
		if _, err := expand(append(bytes.Clone(packed), "garbage"...)); err == nil {
			t.Errorf("%v: garbage behind it is accepted", args)
		}
	}
}

func TestExpandRefusesHugeWindows(t *testing.T) {
	store := newStore(t, content.DefaultLimits())
	for _, args := range [][]string{
		{"xz", "--lzma2=dict=1024MiB"}, {"zstd", "--ultra", "-22", "--long=28"},
	} {
		// The tools shrink the window to a size that they know: a pipe has none.
		packed := tool(t, noise(1, 100_000), args[0], args[1:]...)
		e, err := store.Expand(t.Context(), bytes.NewReader(packed))
		if err == nil {
			_, err = io.Copy(io.Discard, e)
			e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "dictionary") && !strings.Contains(err.Error(), "window size exceeded") {
			t.Errorf("%v: error %v: want one about its window", args, err)
		}
	}
}

func TestExpandBoundsRatioAndSize(t *testing.T) {
	zeros := make([]byte, 10<<20)
	packed := tool(t, zeros, "gzip", "-9")
	for want, limits := range map[string]content.Limits{
		"":                        {Expanded: 10 << 20, Ratio: 2000, Free: 1},
		"more than 10485759":      {Expanded: 10<<20 - 1, Ratio: 2000, Free: 1},
		"more than 100-fold":      {Expanded: 1 << 30, Ratio: 100, Free: 10<<20 - 1},
		"more than 1-fold":        {Expanded: 1 << 30, Ratio: 1, Free: 0},
		"more than 1048576 bytes": {Expanded: 1 << 20, Ratio: 2000, Free: 1 << 30},
	} {
		e, err := newStore(t, limits).Expand(t.Context(), bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, e)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %d bytes, %v: want %q", limits, n, err, want)
		}
		if n > limits.Expanded {
			t.Errorf("%d bytes came out: want at most %d", n, limits.Expanded)
		}
		e.Close()
	}
}

func TestClosedExpandStopsReading(t *testing.T) {
	r, w := io.Pipe()
	e, err := newStore(t, content.DefaultLimits()).Expand(t.Context(), io.MultiReader(strings.NewReader("plain text"), r))
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	if _, err := e.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want context.Canceled", err)
	}
	w.Close()
}

func FuzzExpand(f *testing.F) {
	for _, name := range []string{"gzip", "xz", "zstd", "bzip2"} {
		cmd := exec.Command(name, "-c")
		cmd.Stdin = strings.NewReader(strings.Repeat("seed ", 50))
		out, err := cmd.Output()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(out)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 4 << 20
		store, err := content.NewBounded(dir, content.Limits{Expanded: most, Ratio: 1000, Free: most})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		var results [2]string
		for i := range results {
			e, err := store.Expand(t.Context(), bytes.NewReader(data))
			if err != nil {
				results[i] = err.Error()
				continue
			}
			got, err := io.ReadAll(e)
			if len(got) > most {
				t.Errorf("%d bytes: want at most %d", len(got), most)
			}
			results[i] = fmt.Sprint(len(got), err)
			e.Close()
		}
		if results[0] != results[1] {
			t.Errorf("twice the same bytes: %s and %s", results[0], results[1])
		}
	})
}
