package slots_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests/chunkindex"
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
		Image:   slots.Image{Root: r.Root, Chunks: r.Chunks},
		Origins: []slots.Origin{&origin{content: frames}},
		Step:    silent(),
	}
}

// origin has a file, one span at a time.
type origin struct {
	content []byte
	err     error // that it fails with
	lies    int   // how many of the first spans are wrong
	served  atomic.Int64
	failed  atomic.Int64
}

func (o *origin) Each(ctx context.Context, spans []fetch.Span, _ int, take func(int, io.Reader) error) error {
	for n, s := range spans {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if o.err != nil {
			return o.err
		}
		piece := bytes.Clone(o.content[s.From:min(s.To, int64(len(o.content)))])
		if n < o.lies {
			piece[len(piece)/2] ^= 1
		}
		o.served.Add(int64(len(piece)))
		if err := take(n, bytes.NewReader(piece)); err != nil {
			return err
		}
	}
	return nil
}

func (o *origin) Usable() bool { return o.failed.Load() < 3 }

func (o *origin) Failed(error) { o.failed.Add(1) }

// fill fills the slot and completes its tree.
func fill(t testing.TB, s *slots.Slot, f slots.Filling) slots.Filled {
	t.Helper()
	filled, err := s.Fill(context.Background(), f)
	check(t, err)
	check(t, s.CompleteTree(context.Background(), f.Image))
	return filled
}

func TestFilledSlotVerifiesAndRefilledFetchesOnlyWhatIsWrong(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1"})
	s := newSlot(t)
	refill := func(resume bool) slots.Filled {
		f := filling(r, r.Frames)
		f.Resume = resume
		check(t, s.Forget())
		filled := fill(t, s, f)
		check(t, s.VerifyFilled(context.Background(), f.Image))
		check(t, s.Verify(context.Background(), r.Root, silent()))
		return filled
	}
	if filled := refill(false); filled.Fetched != int64(len(r.Frames)) {
		t.Errorf("fetched %d bytes of %d", filled.Fetched, len(r.Frames))
	}
	_, err := s.Root.WriteAt([]byte("wrong"), 3*r.ChunkSize+5)
	check(t, err)
	if filled := refill(true); filled.Fetched != r.Chunks[3].Encoded {
		t.Errorf("fetched %d bytes: want the one chunk of %d", filled.Fetched, r.Chunks[3].Encoded)
	}
}

func TestOneFlippedBitIsFoundWhereverItIs(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1"})
	s := newSlot(t)
	f := filling(r, r.Frames)
	fill(t, s, f)
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
		if err := s.VerifyFilled(context.Background(), f.Image); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v", name, err)
		}
		b[0] ^= 1
		_, err = flip.file.WriteAt(b, flip.at)
		check(t, err)
	}
	check(t, s.VerifyFilled(context.Background(), f.Image))
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
	_, err := s.Fill(context.Background(), filling(r, r.Frames))
	if err == nil || !strings.Contains(err.Error(), "chunk 0, 65536 bytes at 0") {
		t.Errorf("error %v: want one that names chunk 0", err)
	}
}

func TestTreeThatTheMediumLostIsFoundOut(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1"})
	s := newSlot(t)
	s.Tree = &lossy{File: s.Tree}
	f := filling(r, r.Frames)
	fill(t, s, f)
	var corrupt *verity.CorruptError
	if err := s.VerifyFilled(context.Background(), f.Image); !errors.As(err, &corrupt) {
		t.Errorf("error %v: want a CorruptError", err)
	}
}

// TestSlotHasNoTopBlockUntilItsTreeIsComplete: what is named by its top block
// must be whole.
func TestSlotHasNoTopBlockUntilItsTreeIsComplete(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1"})
	s := newSlot(t)
	check(t, s.Forget())
	_, err := s.Fill(context.Background(), filling(r, r.Frames))
	check(t, err)
	if holds, err := s.Holds(r.Root); err != nil || holds {
		t.Errorf("after Fill: holds %t, %v", holds, err)
	}
	tree := &watched{File: s.Tree, root: r.Root, dirty: true}
	s.Tree = tree
	check(t, s.CompleteTree(context.Background(), filling(r, r.Frames).Image))
	if tree.early || !tree.last {
		t.Error("the top block was written before everything else was synced, or not at all")
	}
}

// watched looks at the order of writes: the top block must come when all below
// it is synced, and nothing but the superblock after it.
type watched struct {
	hostfs.File
	root        verity.Root
	dirty, top  bool
	early, last bool
}

func (w *watched) WriteAt(p []byte, off int64) (int, error) {
	const top = verity.TopOffset
	switch end := off + int64(len(p)); {
	case len(p) > 0 && off <= top && end > top:
		w.early = w.early || w.dirty
		w.top = true
	case end > top:
		w.early = w.early || w.top
		w.dirty = true
	}
	return w.File.WriteAt(p, off)
}

func (w *watched) Sync() error {
	w.dirty = false
	holds, err := w.root.Holds(w.File)
	w.last = holds
	return errors.Join(err, w.File.Sync())
}

func TestChunksOfAnotherTreeThanTheRootHashNeverMakeTheSlotHoldIt(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1"})
	s := newSlot(t)
	f := filling(r, r.Frames)
	f.Image.Root.Hash[0] ^= 1
	check(t, s.Forget())
	_, err := s.Fill(context.Background(), f)
	check(t, err)
	if err := s.CompleteTree(context.Background(), f.Image); !errors.Is(err, slots.ErrContent) {
		t.Errorf("error %v: want one of content", err)
	}
	if holds, err := s.Holds(r.Root); err != nil || holds {
		t.Errorf("holds %t, %v", holds, err)
	}
}

func TestStoredTreeIsByteForByteWhatVeritysetupWrites(t *testing.T) {
	for _, test := range []struct {
		blocks int
		chunk  int64
	}{{2, 4096}, {127, 8 << 10}, {128, 64 << 10}, {129, 4096}, {200, 12 << 10}, {128*128 + 3, 4 << 20}} {
		t.Run(fmt.Sprintf("%d blocks in chunks of %d", test.blocks, test.chunk), func(t *testing.T) {
			t.Parallel()
			r := testhost.NewRelease(t, testhost.Spec{Version: "1", Blocks: test.blocks, ChunkSize: test.chunk})
			s, dir := dirtySlot(t, int64(test.blocks+1)*verity.BlockSize)
			check(t, s.Forget())
			fill(t, s, filling(r, r.Frames))
			check(t, s.VerifyFilled(context.Background(), filling(r, r.Frames).Image))
			got := make([]byte, verity.TreeSize(r.Root.Blocks))
			_, err := s.Tree.ReadAt(got, 0)
			check(t, err)

			data, hashes := filepath.Join(dir, "data"), filepath.Join(dir, "hashes")
			check(t, os.WriteFile(data, r.Image, 0o600))
			uuid := fmt.Sprintf("%x-%x-%x-%x-%x", r.Root.Hash[:4], r.Root.Hash[4:6], r.Root.Hash[6:8], r.Root.Hash[8:10], r.Root.Hash[10:16])
			out, err := exec.Command("veritysetup", "format", "--uuid="+uuid, fmt.Sprintf("--salt=%x", r.Root.Salt), data, hashes).CombinedOutput()
			if err != nil {
				t.Fatalf("veritysetup: %v\n%s", err, out)
			}
			want, err := os.ReadFile(hashes)
			check(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("the stored tree of %d bytes differs from veritysetup's of %d", len(got), len(want))
			}
		})
	}
}

// dirtySlot is a slot that is full of something else.
func dirtySlot(t testing.TB, size int64) (*slots.Slot, string) {
	dir := t.TempDir()
	open := func(name string) hostfs.File {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, bytes.Repeat([]byte{0xcc}, int(size)), 0o600))
		f, err := hostfs.OS{}.OpenWritable(path)
		check(t, err)
		t.Cleanup(func() { f.Close() })
		return hostfs.Section(f, 0, size)
	}
	return &slots.Slot{Letter: partitions.SlotB, Root: open("root"), Tree: open("tree")}, dir
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
			f.Image.Chunks = []chunkindex.Chunk{{Size: r.Chunks[0].Size, Encoded: int64(len(frame)), Digest: r.Chunks[0].Digest}}
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
