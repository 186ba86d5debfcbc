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
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
)

// sparseImage is size bytes that are encoded quickly: zeros for the most part.
func sparseImage(seed uint64, size int) []byte {
	image := make([]byte, size)
	for at := 0; at < size; at += pieceMost / 2 {
		copy(image[at:], fakeImage(seed+uint64(at), 8192))
	}
	return image
}

func encodeBytes(t testing.TB, image []byte) ([]byte, encoded) {
	t.Helper()
	var out bytes.Buffer
	got := must[encoded](t)(encodeRoot(context.Background(), bytes.NewReader(image), cut(nil, int64(len(image)), nil), salt[:], &out))
	return out.Bytes(), got
}

var salt = sha256.Sum256([]byte("salt"))

func TestEncodedRootIsWhatZstdDecodes(t *testing.T) {
	for _, size := range []int{8192, pieceMost - 4096, pieceMost, 2*pieceMost + 8192} {
		image := sparseImage(uint64(size), size)
		file, got := encodeBytes(t, image)
		if !bytes.Equal(zstdDecode(t, file), image) {
			t.Errorf("%d bytes: zstd decodes other content", size)
		}
		test := exec.Command("zstd", "--test", "-")
		test.Stdin = bytes.NewReader(file)
		if out, err := test.CombinedOutput(); err != nil {
			t.Errorf("%d bytes: zstd --test: %v\n%s", size, err, out)
		}
		if got.file.Size != int64(len(file)) || got.file.Digest != manifests.DigestOf(file) || got.digest != manifests.DigestOf(image) {
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
	sizes := []int64{4096, pieceMost, 8192, 5 * 4096, pieceMost - 4096}
	size := int64(0)
	for _, s := range sizes {
		size += s
	}
	image := sparseImage(1, int(size))
	var out bytes.Buffer
	got := must[encoded](t)(encodeRoot(context.Background(), bytes.NewReader(image), sizes, salt[:], &out))
	file := out.Bytes()
	root := manifests.Root{Hash: got.root.Hash[:], Blocks: uint64(size / 4096)}
	index := must[*chunkindex.Index](t)(chunkindex.Parse(got.index.Append(nil), root))
	decoder := must[*zstd.Decoder](t)(zstd.NewReader(nil))
	defer decoder.Close()
	if len(index.Chunks) != len(sizes) {
		t.Fatalf("%d chunks, want %d", len(index.Chunks), len(sizes))
	}
	offset, decoded := int64(0), int64(0)
	table := file[len(file)-9-8*len(sizes):]
	for i, chunk := range index.Chunks {
		raw := must[[]byte](t)(decoder.DecodeAll(file[chunk.Frame:][:chunk.Encoded], nil))
		if !bytes.Equal(raw, image[decoded:decoded+sizes[i]]) || chunk.Offset != decoded || chunk.Size != sizes[i] {
			t.Fatalf("chunk %d of %d bytes decodes to other content", i, len(raw))
		}
		leaves := verity.LeafHashes(nil, salt[:], raw)
		if chunkindex.DigestOf(leaves) != chunk.Digest || [4]byte(leaves) != chunk.First {
			t.Errorf("chunk %d has another digest or tag", i)
		}
		// The table's entry, as the format's description lays it out.
		if n := binary.LittleEndian.Uint32(table[8*i:]); int64(n) != chunk.Encoded {
			t.Errorf("seek table: frame %d of %d bytes, want %d", i, n, chunk.Encoded)
		}
		if n := binary.LittleEndian.Uint32(table[8*i+4:]); int(n) != len(raw) {
			t.Errorf("seek table: frame %d decodes to %d bytes, want %d", i, n, len(raw))
		}
		if chunk.Frame != offset {
			t.Errorf("frame %d is at %d, the index says %d", i, offset, chunk.Frame)
		}
		offset += chunk.Encoded
		decoded += chunk.Size
	}
	if offset+int64(8+8*len(sizes)+9) != int64(len(file)) {
		t.Errorf("frames end at %d of %d", offset, len(file))
	}
	if magic := binary.LittleEndian.Uint32(file[len(file)-4:]); magic != 0x8F92EAB1 {
		t.Errorf("seek table ends in %08x", magic)
	}
}

func TestEncodingDoesNotDependOnTheNumberOfCPUs(t *testing.T) {
	image := sparseImage(5, 2*pieceMost+4096)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one, _ := encodeBytes(t, image)
	runtime.GOMAXPROCS(4)
	four, _ := encodeBytes(t, image)
	if !bytes.Equal(one, four) {
		t.Error("one CPU and four make other files")
	}
}

func TestEncodingStopsAtAnErrorOnEitherSide(t *testing.T) {
	image := sparseImage(1, 4*pieceMost)
	broken := errors.New("broken")
	_, err := encodeRoot(context.Background(), io.MultiReader(bytes.NewReader(image[:pieceMost+5]), failing{broken}), cut(nil, int64(len(image)), nil), salt[:], io.Discard)
	if !errors.Is(err, broken) {
		t.Errorf("reading: %v", err)
	}
	if _, err := encodeRoot(context.Background(), bytes.NewReader(image[:pieceMost]), cut(nil, int64(len(image)), nil), salt[:], io.Discard); !errors.Is(err, io.EOF) {
		t.Errorf("an image that ends early: %v", err)
	}
	if _, err := encodeRoot(context.Background(), bytes.NewReader(image), cut(nil, int64(len(image)), nil), salt[:], failing{broken}); !errors.Is(err, broken) {
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
