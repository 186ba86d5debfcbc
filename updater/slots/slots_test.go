package slots_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/slots"
	"github.com/proa-os/proa/updater/testhost"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newSlot is a slot of 1 MiB in two files.
func newSlot(t testing.TB) *slots.Slot {
	t.Helper()
	open := func(name string) hostfs.File {
		path := filepath.Join(t.TempDir(), name)
		check(t, os.WriteFile(path, make([]byte, 1<<20), 0o600))
		f, err := hostfs.OS{}.OpenWritable(path)
		check(t, err)
		return hostfs.Section(f, 0, 1<<20)
	}
	s := &slots.Slot{Letter: partitions.SlotB, Root: open("root"), Tree: open("tree")}
	t.Cleanup(func() { s.Close() })
	return s
}

func silent() progress.Step { return progress.Silent().Step("", 0) }

func filling(r *testhost.Release, frames []byte) slots.Filling {
	return slots.Filling{
		Image: slots.Image{Root: r.Root, ChunkSize: r.Transport.Root.ChunkSize, Chunks: r.Transport.Root.Chunks},
		Source: func(_ context.Context, from, to int64) io.ReadCloser {
			return io.NopCloser(bytes.NewReader(frames[from:to]))
		},
		Step: silent(),
	}
}

func TestFilledSlotVerifiesAndRefilledFetchesOnlyWhatIsWrong(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1"})
	s := newSlot(t)
	fill := func(resume bool) slots.Filled {
		f := filling(r, r.Frames)
		f.Resume = resume
		filled, err := s.Fill(context.Background(), f)
		check(t, err)
		tree, err := filled.Hashes.Tree()
		check(t, err)
		check(t, s.StoreTree(tree))
		check(t, s.VerifyFilled(context.Background(), r.Root, filled.Medium))
		check(t, s.Verify(context.Background(), r.Root, silent()))
		return filled
	}
	if filled := fill(false); filled.Fetched != int64(len(r.Frames)) {
		t.Errorf("fetched %d bytes of %d", filled.Fetched, len(r.Frames))
	}
	_, err := s.Root.WriteAt([]byte("wrong"), 3*r.Transport.Root.ChunkSize+5)
	check(t, err)
	if filled := fill(true); filled.Fetched != r.Transport.Root.Chunks[3].Size {
		t.Errorf("fetched %d bytes: want the one chunk of %d", filled.Fetched, r.Transport.Root.Chunks[3].Size)
	}
}

func TestOneFlippedBitIsFoundWhereverItIs(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1"})
	s := newSlot(t)
	filled, err := s.Fill(context.Background(), filling(r, r.Frames))
	check(t, err)
	tree, err := filled.Hashes.Tree()
	check(t, err)
	check(t, s.StoreTree(tree))
	for name, flip := range map[string]struct {
		file hostfs.File
		at   int64
	}{
		"superblock": {s.Tree, 70}, "superblock's padding": {s.Tree, 4000}, "top": {s.Tree, 4096}, "tree's end": {s.Tree, verity.TreeSize(r.Root.Blocks) - 1},
	} {
		b := make([]byte, 1)
		_, err := flip.file.ReadAt(b, flip.at)
		check(t, err)
		b[0] ^= 1
		_, err = flip.file.WriteAt(b, flip.at)
		check(t, err)
		var corrupt *verity.CorruptError
		if err := s.VerifyFilled(context.Background(), r.Root, filled.Medium); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v", name, err)
		}
		b[0] ^= 1
		_, err = flip.file.WriteAt(b, flip.at)
		check(t, err)
	}
	check(t, s.VerifyFilled(context.Background(), r.Root, filled.Medium))
}

// lossy is a medium that keeps something else than what was written, once it
// is dropped from the cache.
type lossy struct {
	hostfs.File
	dropped atomic.Bool
}

func (l *lossy) Drop(off, n int64) error {
	l.dropped.Store(true)
	return l.File.Drop(off, n)
}

func (l *lossy) ReadAt(p []byte, off int64) (int, error) {
	n, err := l.File.ReadAt(p, off)
	if l.dropped.Load() && off <= 5000 && off+int64(n) > 5000 {
		p[5000-off] ^= 1
	}
	return n, err
}

func TestMediumThatKeptSomethingElseIsFoundOut(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1"})
	s := newSlot(t)
	s.Root = &lossy{File: s.Root}
	filled, err := s.Fill(context.Background(), filling(r, r.Frames))
	check(t, err)
	tree, err := filled.Hashes.Tree()
	check(t, err)
	check(t, s.StoreTree(tree))
	err = s.VerifyFilled(context.Background(), r.Root, filled.Medium)
	if err == nil || !strings.Contains(err.Error(), "data block 1 ") {
		t.Errorf("error %v: want one that names block 1", err)
	}
}

func TestFramesThatAreNotTheReleasesAreNeverWritten(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1", ChunkSize: 1 << 20})
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false))
	check(t, err)
	other := bytes.Clone(r.Image)
	other[77] ^= 1
	bomb := encoder.EncodeAll(make([]byte, 1<<30), nil)
	for name, frame := range map[string][]byte{
		"other content": encoder.EncodeAll(other, nil),
		"shorter":       encoder.EncodeAll(r.Image[:4096], nil),
		"longer":        encoder.EncodeAll(append(bytes.Clone(r.Image), 0), nil),
		"two frames":    append(encoder.EncodeAll(r.Image, nil), encoder.EncodeAll(r.Image, nil)...),
		"bomb":          bomb,
		"not zstd":      []byte("hello"),
		"cut":           r.Frames[:len(r.Frames)/2],
		"large window":  {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlot(t)
			f := filling(r, frame)
			f.Image.Chunks = []manifests.Chunk{{Size: int64(len(frame)), Digest: r.Transport.Root.Chunks[0].Digest}}
			if _, err := s.Fill(context.Background(), f); !errors.Is(err, slots.ErrContent) {
				t.Errorf("error %v: want one of content", err)
			}
			got := make([]byte, 1<<20)
			_, err := s.Root.ReadAt(got, 0)
			check(t, err)
			if !bytes.Equal(got, make([]byte, 1<<20)) {
				t.Error("something was written")
			}
		})
	}
}

func TestReleaseThatDoesNotFitIsRefusedWithBothSizes(t *testing.T) {
	s := newSlot(t)
	check(t, s.Fits(verity.Root{Blocks: 256}))
	for _, blocks := range []uint64{257, 1 << 32} {
		var small *slots.TooSmallError
		err := s.Fits(verity.Root{Blocks: blocks})
		if !errors.As(err, &small) || small.Have != 1<<20 || small.Need != int64(blocks)*4096 {
			t.Errorf("%d blocks: %v", blocks, err)
		}
	}
}
