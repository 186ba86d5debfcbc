package diskimage

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/progress"
)

// sparseFile is a file of 3 MiB: noise, a hole, noise, and a hole to the end.
func sparseFile(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "source"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	for _, at := range []int64{0, mib + 8192} {
		if _, err := file.WriteAt(noise("piece", 300_001), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Truncate(3 * mib); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCopiesAreExactWhoeverCopies(t *testing.T) {
	file := sparseFile(t)
	content, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	for name, reader := range map[string]io.ReaderAt{"kernel": file, "process": struct{ io.ReaderAt }{file}} {
		for _, piece := range []struct{ to, from, size int64 }{
			{0, 0, 3 * mib}, {4096, 0, 3 * mib}, {777, 5, 2*mib + 1}, {0, 400_000, 10}, {0, 3*mib - 1, 1}, {512, mib - 512, mib},
		} {
			dst, err := os.Create(filepath.Join(t.TempDir(), "copy"))
			if err != nil {
				t.Fatal(err)
			}
			defer dst.Close()
			if err := dst.Truncate(4 * mib); err != nil {
				t.Fatal(err)
			}
			counted := counter(0)
			if err := copyAt(t.Context(), dst, piece.to, Source{Reader: reader}, piece.from, piece.size, &counted); err != nil {
				t.Errorf("%s, %+v: %v", name, piece, err)
			}
			got, err := os.ReadFile(dst.Name())
			want := make([]byte, 4*mib)
			copy(want[piece.to:], content[piece.from:][:piece.size])
			if err != nil || !bytes.Equal(got, want) || int64(counted) != piece.size {
				t.Errorf("%s, %+v: other bytes, or %d reported, %v", name, piece, counted, err)
			}
		}
	}
}

func TestOnlyContentTakesSpace(t *testing.T) {
	for _, name := range []string{"reader", "file", "sparse file"} {
		config := testConfig(t, 256*mib)
		if name != "reader" {
			file, err := os.Create(filepath.Join(t.TempDir(), "root"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := writeSparse(file, contentOf(t, config.Root), 0); err != nil {
				t.Fatal(err)
			}
			config.Root.Reader = file
		}
		path := writeImage(t, config)
		var stat syscall.Stat_t
		if err := syscall.Stat(path, &stat); err != nil {
			t.Fatal(err)
		}
		// 1 MiB of the root is a hole; 256 KiB cover the tables and the folders.
		most := config.contentSize() - mib + 256<<10
		if used := stat.Blocks * 512; used > most || stat.Size != config.Layout.DiskSize {
			t.Errorf("root from a %s: %d bytes take %d: want at most %d", name, stat.Size, used, most)
		}
	}
}

type counter int64

func (c *counter) Add(n int64) { *c += counter(n) }
func (c *counter) Done(error)  {}

func TestSourcesShorterThanSaidAreErrors(t *testing.T) {
	for name, size := range map[string]int64{"ends in data": 200_000, "ends in a hole": 3 * mib, "is empty": 0} {
		file := sparseFile(t)
		if err := file.Truncate(size); err != nil {
			t.Fatal(err)
		}
		dst, err := os.Create(filepath.Join(t.TempDir(), "copy"))
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		for _, reader := range []io.ReaderAt{file, struct{ io.ReaderAt }{file}} {
			err = copyAt(t.Context(), dst, 0, Source{Reader: reader}, 0, 3*mib+1, progress.Silent().Step("", 0))
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("a source that %s: %v", name, err)
			}
		}
	}
}

func TestWritesThatFailAreErrors(t *testing.T) {
	file := sparseFile(t)
	dst, err := os.Open("/dev/null") // for reading alone
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	for _, reader := range []io.ReaderAt{file, struct{ io.ReaderAt }{file}} {
		err = copyAt(t.Context(), dst, 0, Source{Reader: reader}, 0, 3*mib, progress.Silent().Step("", 0))
		if !errors.Is(err, unix.EBADF) {
			t.Errorf("writing to a file that is open for reading: %v", err)
		}
	}
}
