package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
)

func encodeBytes(t testing.TB, image []byte) ([]byte, encoded) {
	t.Helper()
	var out bytes.Buffer
	got := must[encoded](t)(encodeRoot(context.Background(), bytes.NewReader(image), int64(len(image)), salt[:], &out))
	return out.Bytes(), got
}

var salt = sha256.Sum256([]byte("salt"))

func TestEncodedRootIsWhatZstdDecodes(t *testing.T) {
	for _, size := range []int{8192, chunkSize - 4096, chunkSize, chunkSize + 4096, 3*chunkSize + 8192} {
		image := fakeImage(uint64(size), size)
		file, got := encodeBytes(t, image)
		if !bytes.Equal(zstdDecode(t, file), image) {
			t.Errorf("%d bytes: zstd decodes other content", size)
		}
		test := exec.Command("zstd", "--test", "-")
		test.Stdin = bytes.NewReader(file)
		if out, err := test.CombinedOutput(); err != nil {
			t.Errorf("%d bytes: zstd --test: %v\n%s", size, err, out)
		}
		if got.transport.Size != int64(len(file)) || got.transport.Digest != manifests.DigestOf(file) || got.digest != manifests.DigestOf(image) {
			t.Errorf("%d bytes: wrong size or digest", size)
		}
		path := filepath.Join(t.TempDir(), "image")
		check(t, os.WriteFile(path, image, 0o644))
		if want := veritysetup(t, path, path+".tree", salt[:]); !bytes.Equal(want, got.root.Hash[:]) {
			t.Errorf("%d bytes: root hash %x, veritysetup says %s", size, got.root.Hash, want)
		}
	}
}

func TestEachChunkDecodesAndProvesItselfAlone(t *testing.T) {
	image := fakeImage(1, 3*chunkSize+8192)
	file, got := encodeBytes(t, image)
	decoder := must[*zstd.Decoder](t)(zstd.NewReader(nil))
	defer decoder.Close()
	offset, decoded := int64(0), int64(0)
	for i, chunk := range got.transport.Chunks {
		raw := must[[]byte](t)(decoder.DecodeAll(file[offset:offset+chunk.Size], nil))
		if want := image[decoded:min(decoded+chunkSize, int64(len(image)))]; !bytes.Equal(raw, want) {
			t.Fatalf("chunk %d decodes to other content", i)
		}
		if manifests.DigestOf(verity.LeafHashes(nil, salt[:], raw)) != chunk.Digest {
			t.Errorf("chunk %d has another digest", i)
		}
		// The table's entry, as the format's description lays it out.
		table := file[len(file)-9-8*len(got.transport.Chunks):]
		if n := binary.LittleEndian.Uint32(table[8*i:]); int64(n) != chunk.Size {
			t.Errorf("seek table: frame %d of %d bytes, want %d", i, n, chunk.Size)
		}
		if n := binary.LittleEndian.Uint32(table[8*i+4:]); int(n) != len(raw) {
			t.Errorf("seek table: frame %d decodes to %d bytes, want %d", i, n, len(raw))
		}
		offset += chunk.Size
		decoded += int64(len(raw))
	}
	if decoded != int64(len(image)) || offset+int64(8+8*len(got.transport.Chunks)+9) != int64(len(file)) {
		t.Errorf("%d bytes decoded, frames end at %d of %d", decoded, offset, len(file))
	}
	if magic := binary.LittleEndian.Uint32(file[len(file)-4:]); magic != 0x8F92EAB1 {
		t.Errorf("seek table ends in %08x", magic)
	}
}

func TestEncodingDoesNotDependOnTheNumberOfCPUs(t *testing.T) {
	image := fakeImage(5, 5*chunkSize)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one, _ := encodeBytes(t, image)
	runtime.GOMAXPROCS(4)
	four, _ := encodeBytes(t, image)
	if !bytes.Equal(one, four) {
		t.Error("one CPU and four make other files")
	}
}

func TestEncodingStopsAtAnErrorOnEitherSide(t *testing.T) {
	image := fakeImage(1, 4*chunkSize)
	broken := errors.New("broken")
	_, err := encodeRoot(context.Background(), io.MultiReader(bytes.NewReader(image[:chunkSize+5]), failing{broken}), int64(len(image)), salt[:], io.Discard)
	if !errors.Is(err, broken) {
		t.Errorf("reading: %v", err)
	}
	if _, err := encodeRoot(context.Background(), bytes.NewReader(image[:chunkSize]), int64(len(image)), salt[:], io.Discard); !errors.Is(err, io.EOF) {
		t.Errorf("an image that ends early: %v", err)
	}
	if _, err := encodeRoot(context.Background(), bytes.NewReader(image), int64(len(image)), salt[:], failing{broken}); !errors.Is(err, broken) {
		t.Errorf("writing: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// BenchmarkEncodeRoot encodes the image named by PROA_BENCH_IMAGE, or 64 MiB of
// its own.
func BenchmarkEncodeRoot(b *testing.B) {
	image := fakeImage(1, 64<<20)
	if path := os.Getenv("PROA_BENCH_IMAGE"); path != "" {
		image = must[[]byte](b)(os.ReadFile(path))
		image = image[:len(image)/manifests.BlockSize*manifests.BlockSize]
	}
	b.SetBytes(int64(len(image)))
	for b.Loop() {
		file, _ := encodeBytes(b, image)
		b.ReportMetric(float64(len(file)), "encoded-bytes")
	}
}
