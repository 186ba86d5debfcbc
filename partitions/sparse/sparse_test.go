package sparse

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/iotest"
)

func TestWhatIsReadIsWhatTheFileHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int64{0, 1, 4096, 5 << 20, 5<<20 + 17} {
		for _, runs := range []int{0, 1, 20} {
			file, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := file.Truncate(size); err != nil {
				t.Fatal(err)
			}
			for range runs {
				run := bytes.Repeat([]byte{byte(random.IntN(255) + 1)}, random.IntN(9000)+1)
				at := random.Int64N(size + 1)
				if _, err := file.WriteAt(run[:min(int64(len(run)), size-at)], at); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file.Name())
			if err != nil {
				t.Fatal(err)
			}
			r, err := NewReader(file)
			if err != nil {
				t.Fatal(err)
			}
			// Dirty buffers, so that zeros which are not written show.
			got, err := io.ReadAll(dirty{r})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("size %d, %d runs: read %d bytes, %v; equal is %t", size, runs, len(got), err, bytes.Equal(got, want))
			}
			copied, err := os.Create(file.Name() + ".copy")
			if err != nil {
				t.Fatal(err)
			}
			defer copied.Close()
			passed := int64(0)
			err = Copy(t.Context(), copied, file, func(n int64) { passed += n })
			if got, readErr := os.ReadFile(copied.Name()); err != nil || readErr != nil || !bytes.Equal(got, want) || passed != size {
				t.Errorf("size %d, %d runs: copied %d bytes, told of %d, %v; equal is %t", size, runs, len(got), passed, err, bytes.Equal(got, want))
			}
			told := int64(0)
			n, sum, err := Digest(t.Context(), file.Name(), func(n int64) { told += n })
			if err != nil || n != size || told != size || sum != sha256.Sum256(want) {
				t.Errorf("size %d, %d runs: digested %d bytes, told of %d, %v; the digest is right: %t", size, runs, n, told, err, sum == sha256.Sum256(want))
			}
		}
	}
}

type dirty struct{ r io.Reader }

func (d dirty) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0xee
	}
	return d.r.Read(p)
}

func TestReadFollowsTheRulesOfAReader(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want := make([]byte, 100_000)
	copy(want[50_000:], "data")
	if _, err := file.WriteAt([]byte("data"), 50_000); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(int64(len(want))); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, want); err != nil {
		t.Error(err)
	}
}

func TestTheCopyOfASparseFileIsSparse(t *testing.T) {
	dir := t.TempDir()
	src, err := os.Create(filepath.Join(dir, "src"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := src.WriteAt([]byte("data"), 100<<20); err != nil {
		t.Fatal(err)
	}
	dst, err := os.Create(filepath.Join(dir, "dst"))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if err := Copy(t.Context(), dst, src, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	info, err := dst.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
		t.Errorf("it takes %d bytes", used)
	}
}

func TestAFileThatBecameShorterIsAnError(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(bytes.Repeat([]byte("x"), 8192)); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); err != io.ErrUnexpectedEOF {
		t.Errorf("copied %d bytes, %v; want %v", n, err, io.ErrUnexpectedEOF)
	}
}
