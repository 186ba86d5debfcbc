package slots_test

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
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/slots"
	"github.com/proa-os/proa/updater/testhost"
)

// filledSlot is a slot that holds the release, and what a repair needs of it.
func filledSlot(t testing.TB, spec testhost.Spec) (*testhost.Release, *slots.Slot, slots.Repairing) {
	t.Helper()
	r := testhost.NewRelease(t, spec)
	s := newSlot(t)
	s.Root, s.Tree = unsynced{s.Root}, unsynced{s.Tree}
	check(t, s.Forget())
	f := filling(r, r.Frames)
	fill(t, s, f)
	return r, s, repairing(f.Image, r.Frames)
}

func repairing(image slots.Image, frames []byte) slots.Repairing {
	return slots.Repairing{Image: image, Step: silent(), Source: func(_ context.Context, from, to int64) io.ReadCloser {
		return io.NopCloser(bytes.NewReader(frames[from:to]))
	}}
}

// unsynced waits for no disk.
type unsynced struct{ hostfs.File }

func (unsynced) Sync() error { return nil }

// content is all of a slot that belongs to its release.
func content(t testing.TB, s *slots.Slot, r *testhost.Release) (root, tree []byte) {
	t.Helper()
	root, tree = make([]byte, r.Root.Size()), make([]byte, verity.TreeSize(r.Root.Blocks))
	_, err := s.Root.ReadAt(root, 0)
	check(t, err)
	_, err = s.Tree.ReadAt(tree, 0)
	check(t, err)
	return root, tree
}

func inspect(t testing.TB, s *slots.Slot, work slots.Repairing) *slots.Damage {
	t.Helper()
	d, err := s.Inspect(context.Background(), work)
	check(t, err)
	return d
}

// flip turns one bit of root image and tree, taken as one, and tells where.
func flip(t testing.TB, s *slots.Slot, r *testhost.Release, bit int64) {
	t.Helper()
	file, at := s.Root, bit/8
	if at >= r.Root.Size() {
		file, at = s.Tree, at-r.Root.Size()
	}
	b := make([]byte, 1)
	_, err := file.ReadAt(b, at)
	check(t, err)
	b[0] ^= 1 << (bit % 8)
	_, err = file.WriteAt(b, at)
	check(t, err)
}

// satisfiesVeritysetup asks the reference tool about a slot.
func satisfiesVeritysetup(t testing.TB, s *slots.Slot, r *testhost.Release) bool {
	t.Helper()
	dir := t.TempDir()
	root, tree := content(t, s, r)
	check(t, os.WriteFile(filepath.Join(dir, "root"), root, 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "tree"), tree, 0o600))
	out, err := exec.Command("veritysetup", "verify", filepath.Join(dir, "root"), filepath.Join(dir, "tree"), fmt.Sprintf("%x", r.Root.Hash)).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("veritysetup: %v\n%s", err, out)
	}
	return err == nil
}

func TestEveryFlippedBitIsFoundAndRepaired(t *testing.T) {
	const flips, judged = 1000, 40 // by veritysetup, which takes its time
	r, s, work := filledSlot(t, testhost.Spec{Version: "1", ChunkSize: 16 << 10})
	if d := inspect(t, s, work); !d.None() || d.Fetched > 0 {
		t.Fatal("nothing flipped, and damage found")
	}
	wantRoot, wantTree := content(t, s, r)
	size := r.Root.Size() + verity.TreeSize(r.Root.Blocks)
	random := rand.New(rand.NewPCG(4, 4))
	for n := range flips {
		bit := random.Int64N(size * 8)
		if n%4 == 0 {
			bit = (r.Root.Size() + random.Int64N(size-r.Root.Size())) * 8 // the tree is small
		}
		if at := bit/8 - r.Root.Size(); at >= 16 && at < 32 {
			bit = 0 // a superblock may have any UUID
		}
		flip(t, s, r, bit)
		d := inspect(t, s, work)
		if len(d.Chunks)+len(d.Leaves)+len(d.Crown) != 1 || d.Fetched > 0 {
			t.Fatalf("bit %d: chunks %v, leaves %v, crown %v: want one damaged part", bit, d.Chunks, d.Leaves, d.Crown)
		}
		var corrupt *verity.CorruptError
		if err := s.Verify(context.Background(), r.Root, silent()); !errors.As(err, &corrupt) || corrupt.Count != 1 {
			t.Fatalf("bit %d: verify: %v", bit, err)
		}
		// The superblock says nothing that veritysetup compares with the root hash.
		if at := bit/8 - r.Root.Size(); n%(flips/judged) == 0 && (at < 0 || at >= verity.TopOffset) && satisfiesVeritysetup(t, s, r) {
			t.Fatalf("bit %d: veritysetup finds nothing", bit)
		}
		fetched, err := s.Repair(context.Background(), work, d)
		check(t, err)
		want := int64(0)
		if len(d.Chunks) == 1 {
			want = work.Image.Chunks[d.Chunks[0]].Encoded
		}
		if fetched != want {
			t.Fatalf("bit %d: fetched %d bytes: want %d", bit, fetched, want)
		}
		root, tree := content(t, s, r)
		if !bytes.Equal(root, wantRoot) || !bytes.Equal(tree, wantTree) {
			t.Fatalf("bit %d: not as before", bit)
		}
	}
	if !satisfiesVeritysetup(t, s, r) {
		t.Error("veritysetup finds fault in the end")
	}
}

func TestSlotThatIsDamagedAllOverIsRepaired(t *testing.T) {
	for name, wreck := range map[string]func(s *slots.Slot, r *testhost.Release) error{
		"data and its leaf hashes": func(s *slots.Slot, r *testhost.Release) error {
			_, err := s.Root.WriteAt([]byte("wrong"), 3*r.ChunkSize)
			_, err2 := s.Tree.WriteAt([]byte("wrong"), verity.LeafOffset(r.Root.Blocks)+3*r.ChunkSize/128+2)
			return errors.Join(err, err2)
		},
		"forgotten": func(s *slots.Slot, r *testhost.Release) error { return s.Forget() },
		"no tree": func(s *slots.Slot, r *testhost.Release) error {
			_, err := s.Tree.WriteAt(make([]byte, verity.TreeSize(r.Root.Blocks)), 0)
			return err
		},
		"nothing": func(s *slots.Slot, r *testhost.Release) error {
			_, err := s.Tree.WriteAt(bytes.Repeat([]byte{1}, int(verity.TreeSize(r.Root.Blocks))), 0)
			_, err2 := s.Root.WriteAt(make([]byte, r.Root.Size()), 0)
			return errors.Join(err, err2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, s, work := filledSlot(t, testhost.Spec{Version: "1"})
			check(t, wreck(s, r))
			served := int64(0)
			source := work.Source
			work.Source = func(ctx context.Context, from, to int64) io.ReadCloser {
				served += to - from
				return source(ctx, from, to)
			}
			d := inspect(t, s, work)
			_, err := s.Repair(context.Background(), work, d)
			check(t, err)
			check(t, s.Verify(context.Background(), r.Root, silent()))
			if !satisfiesVeritysetup(t, s, r) {
				t.Error("veritysetup finds fault")
			}
			want := int64(0)
			for _, n := range d.Chunks {
				want += work.Image.Chunks[n].Encoded
			}
			if served != want {
				t.Errorf("fetched %d bytes for %d damaged chunks of %d", served, len(d.Chunks), want)
			}
		})
	}
}

func TestNothingIsWrittenThatIsNotTheReleases(t *testing.T) {
	r, s, work := filledSlot(t, testhost.Spec{Version: "1"})
	flip(t, s, r, 5)
	wantRoot, wantTree := content(t, s, r)
	unchanged := func(t *testing.T) {
		t.Helper()
		if root, tree := content(t, s, r); !bytes.Equal(root, wantRoot) || !bytes.Equal(tree, wantTree) {
			t.Error("something was written")
		}
	}
	t.Run("wrong frames", func(t *testing.T) {
		d := inspect(t, s, work)
		hostile := work
		hostile.Source = func(_ context.Context, from, to int64) io.ReadCloser {
			return io.NopCloser(bytes.NewReader(bytes.Repeat([]byte{7}, int(to-from))))
		}
		if _, err := s.Repair(context.Background(), hostile, d); !errors.Is(err, slots.ErrContent) {
			t.Errorf("error %v: want one of content", err)
		}
		unchanged(t)
	})
	t.Run("a chunk list of another image than the root hash", func(t *testing.T) {
		other := testhost.NewRelease(t, testhost.Spec{Version: "2"})
		wrong := filling(other, other.Frames)
		wrong.Image.Root = r.Root
		if _, err := s.Inspect(context.Background(), repairing(wrong.Image, other.Frames)); !errors.Is(err, slots.ErrContent) {
			t.Errorf("error %v: want one of content", err)
		}
		unchanged(t)
	})
}

// rotten is a medium with sectors that cannot be read until they are written.
type rotten struct {
	hostfs.File
	bad map[int64]bool // by block
}

func (r *rotten) ReadAt(p []byte, off int64) (int, error) {
	for at := off / verity.BlockSize; at*verity.BlockSize < off+int64(len(p)); at++ {
		if r.bad[at] {
			return int(max(0, at*verity.BlockSize-off)), unix.EIO
		}
	}
	return r.File.ReadAt(p, off)
}

func (r *rotten) WriteAt(p []byte, off int64) (int, error) {
	for at := off / verity.BlockSize; at*verity.BlockSize < off+int64(len(p)); at++ {
		delete(r.bad, at)
	}
	return r.File.WriteAt(p, off)
}

func TestSectorsThatCannotBeReadAreWrittenAnew(t *testing.T) {
	r, s, work := filledSlot(t, testhost.Spec{Version: "1"})
	s.Root = &rotten{s.Root, map[int64]bool{20: true, 149: true}}
	s.Tree = &rotten{s.Tree, map[int64]bool{0: true, 1: true, 3: true}}
	d := inspect(t, s, work)
	if len(d.Chunks) != 2 || len(d.Leaves) == 0 || len(d.Crown) != 2 {
		t.Fatalf("chunks %v, leaves %v, crown %v", d.Chunks, d.Leaves, d.Crown)
	}
	_, err := s.Repair(context.Background(), work, d)
	check(t, err)
	check(t, s.Verify(context.Background(), r.Root, silent()))
}

func TestMediumThatDoesNotKeepARepairIsFoundOut(t *testing.T) {
	r, s, work := filledSlot(t, testhost.Spec{Version: "1"})
	flip(t, s, r, 5)
	d := inspect(t, s, work)
	s.Root = &lossy{File: s.Root}
	if _, err := s.Repair(context.Background(), work, d); err == nil {
		t.Error("no error")
	}
}

func TestTopBlockOfALostTreeIsRepairedLast(t *testing.T) {
	const blocks = 128*128 + 3 // a tree of three levels
	r := testhost.NewRelease(t, testhost.Spec{Version: "1", Blocks: blocks, ChunkSize: 4 << 20})
	s, _ := dirtySlot(t, (blocks+1)*verity.BlockSize)
	f := filling(r, r.Frames)
	fill(t, s, f)
	work := repairing(f.Image, r.Frames)
	leaves := verity.LeafOffset(r.Root.Blocks)
	_, err := s.Tree.WriteAt(make([]byte, leaves+9), 0)
	check(t, err)
	d := inspect(t, s, work)
	if len(d.Chunks) > 0 || len(d.Leaves) != 1 || int64(len(d.Crown)) != leaves/verity.BlockSize {
		t.Fatalf("chunks %v, leaves %v, crown %v", d.Chunks, d.Leaves, d.Crown)
	}
	tree := &watched{File: s.Tree, root: r.Root}
	s.Tree = tree
	_, err = s.Repair(context.Background(), work, d)
	check(t, err)
	if tree.early || !tree.last {
		t.Errorf("the top block came before all below it was synced: %t; it is there: %t", tree.early, tree.last)
	}
	check(t, s.Verify(context.Background(), r.Root, silent()))
}
