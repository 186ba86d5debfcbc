package verity

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
)

var testUUID = [16]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01}

const testUUIDText = "11223344-5566-7788-99aa-bbccddeeff01"

// image is pseudo-random data of n blocks, the same on every run.
func image(n uint64) []byte {
	data := make([]byte, n*BlockSize)
	rand.NewChaCha8([32]byte{byte(n)}).Read(data)
	return data
}

func testSalt() []byte { return bytes.Repeat([]byte{0xa5, 0x01}, 16) }

// stored hashes data and returns the tree as stored, and its root.
func stored(t testing.TB, data, salt []byte) ([]byte, Root) {
	t.Helper()
	leaves, err := HashImage(context.Background(), bytes.NewReader(data), uint64(len(data)/BlockSize), salt, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := NewTree(leaves, salt)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := tree.Store(&out, testUUID); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), tree.Root()
}

func veritysetup(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("veritysetup", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("veritysetup %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestStoredTreeIsByteForByteWhatVeritysetupWrites(t *testing.T) {
	for _, test := range []struct {
		blocks uint64
		salt   []byte
	}{
		{2, testSalt()},
		{2, nil},
		{3, bytes.Repeat([]byte{9}, SaltMost)},
		{127, []byte{1}},
		{128, testSalt()},
		{129, testSalt()},
		{128 * 128, testSalt()},
		{128*128 + 1, testSalt()},
	} {
		t.Run(fmt.Sprintf("%d blocks, salt of %d", test.blocks, len(test.salt)), func(t *testing.T) {
			dir := t.TempDir()
			data := image(test.blocks)
			dataFile, hashFile := filepath.Join(dir, "data"), filepath.Join(dir, "hash")
			if err := os.WriteFile(dataFile, data, 0o600); err != nil {
				t.Fatal(err)
			}
			salt := hex.EncodeToString(test.salt)
			if salt == "" {
				salt = "-"
			}
			out := veritysetup(t, "format", "--uuid="+testUUIDText, "--salt="+salt,
				"--data-block-size=4096", "--hash-block-size=4096", "--hash=sha256", dataFile, hashFile)
			want, err := os.ReadFile(hashFile)
			if err != nil {
				t.Fatal(err)
			}
			wantRoot := regexp.MustCompile(`Root hash:\s+([0-9a-f]{64})`).FindStringSubmatch(out)[1]

			got, root := stored(t, data, test.salt)
			if hex.EncodeToString(root.Hash[:]) != wantRoot {
				t.Errorf("root hash %x, veritysetup's is %s", root.Hash, wantRoot)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("stored tree of %d bytes differs from veritysetup's of %d", len(got), len(want))
			}
			if size := TreeSize(test.blocks); size != int64(len(want)) {
				t.Errorf("TreeSize %d, veritysetup's file has %d bytes", size, len(want))
			}
			if held, err := root.Holds(bytes.NewReader(want)); err != nil || !held {
				t.Errorf("Holds: %t, %v: want true for veritysetup's file", held, err)
			}
			if err := os.WriteFile(hashFile, got, 0o600); err != nil {
				t.Fatal(err)
			}
			veritysetup(t, "verify", dataFile, hashFile, wantRoot)
		})
	}
}

func TestSizesWithoutATreeAreRefused(t *testing.T) {
	for _, blocks := range []uint64{0, 1, MaxBlocks + 1, 1 << 63} {
		if _, err := HashImage(context.Background(), bytes.NewReader(image(2)), blocks, nil, 1, nil); err == nil {
			t.Errorf("HashImage of %d blocks: want an error", blocks)
		}
		if _, err := NewBuilder(blocks, nil); err == nil {
			t.Errorf("NewBuilder of %d blocks: want an error", blocks)
		}
	}
	if _, err := NewTree(make([]byte, HashSize), nil); err == nil {
		t.Error("NewTree of one leaf: want an error")
	}
	if _, err := NewTree(make([]byte, 3*HashSize+1), nil); err == nil {
		t.Error("NewTree of three leaves and a byte: want an error")
	}
	if _, err := NewTree(make([]byte, 2*HashSize), make([]byte, SaltMost+1)); err == nil {
		t.Error("NewTree with a salt that is too long: want an error")
	}
}

func TestImageThatEndsEarlyIsAnErrorBeforeMemoryIsTaken(t *testing.T) {
	_, err := HashImage(context.Background(), bytes.NewReader(image(3)), MaxBlocks, nil, 1, nil)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v: want one that wraps io.ErrUnexpectedEOF", err)
	}
}

func TestHashingStopsWhenItIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	data := image(3 * segment)
	pieces := 0
	_, err := HashImage(ctx, bytes.NewReader(data), 3*segment, nil, 1, func(int64) { pieces++; cancel() })
	if !errors.Is(err, context.Canceled) || pieces != 1 {
		t.Errorf("error %v after %d pieces: want context.Canceled after 1", err, pieces)
	}
}

func TestProgressOfHashingAddsUpToTheImage(t *testing.T) {
	const blocks = 2*segment + 7
	var mu sync.Mutex
	var sum int64
	_, err := HashImage(context.Background(), bytes.NewReader(image(blocks)), blocks, nil, 3, func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		sum += n
	})
	if err != nil || sum != blocks*BlockSize {
		t.Errorf("reported %d bytes, %v: want %d", sum, err, blocks*BlockSize)
	}
}

func TestPiecesInAnyOrderGiveTheTreeOfTheWhole(t *testing.T) {
	const blocks = 300
	data := image(blocks)
	_, want := stored(t, data, testSalt())

	t.Run("Add from goroutines", func(t *testing.T) {
		b, err := NewBuilder(blocks, testSalt())
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for first := 0; first < blocks; first += 7 {
			group.Go(func() {
				piece := data[first*BlockSize : min(first+7, blocks)*BlockSize]
				if err := b.Add(uint64(first), LeafHashes(nil, testSalt(), piece)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		checkTree(t, b, want)
	})
	t.Run("Write in odd pieces", func(t *testing.T) {
		b, err := NewBuilder(blocks, testSalt())
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for rest := data; len(rest) > 0; {
			n := min(1+random.IntN(3*BlockSize), len(rest))
			if wrote, err := b.Write(rest[:n]); err != nil || wrote != n {
				t.Fatalf("Write of %d bytes: %d, %v", n, wrote, err)
			}
			rest = rest[n:]
		}
		checkTree(t, b, want)
		if _, err := b.Write(data[:BlockSize]); err == nil {
			t.Error("Write after the last block: want an error")
		}
	})
}

func checkTree(t *testing.T, b *Builder, want Root) {
	t.Helper()
	tree, err := b.Tree()
	if err != nil {
		t.Fatal(err)
	}
	if got := tree.Root(); got.Hash != want.Hash || got.Blocks != want.Blocks {
		t.Errorf("root %x over %d blocks: want %x over %d", got.Hash, got.Blocks, want.Hash, want.Blocks)
	}
}

func TestATreeWithAMissingBlockIsRefused(t *testing.T) {
	b, err := NewBuilder(3, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []uint64{0, 2, 2} {
		if err := b.Add(first, make([]byte, HashSize)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Tree(); err == nil || b.Missing() != 1 {
		t.Errorf("tree without block 1: error %v, missing %d: want an error and 1", err, b.Missing())
	}
	for _, test := range []struct {
		first uint64
		bytes int
	}{{3, HashSize}, {2, 2 * HashSize}, {1 << 60, HashSize}, {math.MaxUint64, HashSize}, {0, HashSize - 1}} {
		if err := b.Add(test.first, make([]byte, test.bytes)); err == nil {
			t.Errorf("Add of %d bytes from block %d on: want an error", test.bytes, test.first)
		}
	}
}

func TestRootIsReadFromTheCommandLine(t *testing.T) {
	_, root := stored(t, image(5), testSalt())
	got, err := ParseRoot(hex.EncodeToString(root.Hash[:]), hex.EncodeToString(root.Salt), "5")
	if err != nil || got.Hash != root.Hash || !bytes.Equal(got.Salt, root.Salt) || got.Blocks != 5 {
		t.Errorf("ParseRoot: %v, %v: want %v", got, err, root)
	}
	hash := hex.EncodeToString(root.Hash[:])
	for _, bad := range [][3]string{
		{hash[2:], "00", "5"}, {hash + "00", "00", "5"}, {"zz" + hash[2:], "00", "5"},
		{hash, "0", "5"}, {hash, "xy", "5"}, {hash, string(bytes.Repeat([]byte("00"), SaltMost+1)), "5"},
		{hash, "00", ""}, {hash, "00", "-5"}, {hash, "00", "0x5"}, {hash, "00", "1"}, {hash, "00", "99999999999999999999"},
	} {
		if got, err := ParseRoot(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("ParseRoot(%.70q, %.70q, %q) = %v: want an error", bad[0], bad[1], bad[2], got)
		}
	}
}

func TestOnlyThePartitionOfTheRootIsHeld(t *testing.T) {
	mine, root := stored(t, image(200), testSalt())
	other, _ := stored(t, image(201), testSalt())
	for name, test := range map[string]struct {
		partition []byte
		want      bool
	}{
		"own tree":       {mine, true},
		"larger device":  {append(bytes.Clone(mine), make([]byte, 1<<20)...), true},
		"other tree":     {other, false},
		"zeros":          {make([]byte, 1<<16), false},
		"too short":      {mine[:TopOffset+BlockSize-1], false},
		"empty":          {nil, false},
		"bad superblock": {append(make([]byte, BlockSize), mine[BlockSize:]...), true},
	} {
		if got, err := root.Holds(bytes.NewReader(test.partition)); err != nil || got != test.want {
			t.Errorf("%s: Holds %t, %v: want %t", name, got, err, test.want)
		}
	}
	for _, size := range []int{0, 1, HashSize, BlockSize - 1, 2 * BlockSize} {
		if root.MatchesTop(make([]byte, size)) {
			t.Errorf("%d bytes match as a top block", size)
		}
	}
	if _, err := root.Holds(brokenDisk{}); err == nil {
		t.Error("Holds on a disk that cannot be read: want an error")
	}
}

type brokenDisk struct{}

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }
