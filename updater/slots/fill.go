package slots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
)

// ErrContent is wrapped by the error of content that is not what the release
// says.
var ErrContent = errors.New("content differs from what the release says")

// buffersMost bounds the memory of the pipeline in bytes, as long as one chunk
// and its encoded form fit into it.
const buffersMost = 16 << 20

// Image is the root image to write.
type Image struct {
	Root   verity.Root
	Chunks []chunkindex.Chunk // tile the image, in order
}

// Place is where chunk n is in the image, in bytes.
func (i Image) Place(n int) (offset, size int64) { return i.Chunks[n].Offset, i.Chunks[n].Size }

// matches reports whether hashes are those of chunk n's blocks.
func (i Image) matches(n int, hashes []byte) bool {
	return chunkindex.DigestOf(hashes) == i.Chunks[n].Digest
}

// largest is the bytes of the longest chunk.
func (i Image) largest() int64 {
	most := int64(0)
	for _, c := range i.Chunks {
		most = max(most, c.Size)
	}
	return most
}

// Source gives the bytes from..to (to excluded) of the file of zstd frames.
type Source func(ctx context.Context, from, to int64) io.ReadCloser

// Filling is what Fill works with.
type Filling struct {
	Image  Image
	Source Source
	// Resume makes Fill hash what the slot holds and fetch only what differs.
	Resume bool
	// Synced, if not nil, is called when the image is on the medium from 0 to
	// offset; from one goroutine at a time.
	Synced func(offset int64) error
	// Step receives the decoded bytes that are in place. Required.
	Step progress.Step
}

// Filled is what Fill did.
type Filled struct {
	Fetched int64 // encoded bytes
	Reused  int64 // decoded bytes that were in the slot already
}

// Fill writes the image into the slot, and the leaf level of its hash tree. Each
// chunk is verified in the buffer that is written, synced, read back from the
// medium and verified again; the leaf hashes are those of what was read back.
// When Fill returns nil the image is on the medium. The leaf level is not synced
// yet, and nothing is above it: see CompleteTree. An image that is not as its
// chunk list says is an error that wraps ErrContent.
func (s *Slot) Fill(ctx context.Context, f Filling) (Filled, error) {
	w := &filler{Filling: f, slot: s, largest: f.Image.largest(), have: make([]bool, len(f.Image.Chunks))}
	w.leaves = newLeafWriter(s.Tree, f.Image.Root)
	if f.Resume {
		if err := w.scan(ctx); err != nil {
			return Filled{}, fmt.Errorf("reading what the slot holds: %w", err)
		}
	}
	if err := w.fetchAll(ctx); err != nil {
		return Filled{}, err
	}
	return Filled{Fetched: w.fetched, Reused: w.reused}, nil
}

type filler struct {
	Filling
	slot    *Slot
	largest int64 // bytes of the longest chunk
	leaves  *leafWriter
	fetched int64
	reused  int64

	mu   sync.Mutex
	have []bool // chunks that are in place
}

// workers is how many chunks are worked on at once, and buffers how many
// encoded ones wait.
func (w *filler) workers() (workers, buffers int) {
	workers = min(2, runtime.GOMAXPROCS(0))
	if int64(workers)*2*w.largest > buffersMost {
		return 1, 1
	}
	left := buffersMost - int64(workers)*w.largest
	return workers, int(min(16, max(int64(workers), left/w.largest)))
}

// complete is the number of chunks that are in place from the first on.
func (w *filler) complete() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, have := range w.have {
		if !have {
			return i
		}
	}
	return len(w.have)
}

type encoded struct {
	chunk int
	data  []byte
}

// fetchAll is the pipeline: one reader, workers that decode, check and write,
// one that syncs behind them, and readers that read back what was synced.
func (w *filler) fetchAll(ctx context.Context) error {
	workers, buffers := w.workers()
	group, ctx := errgroup.WithContext(ctx)
	jobs, free := make(chan encoded, buffers), make(chan []byte, buffers+workers)
	for range buffers + workers {
		free <- nil
	}
	group.Go(func() error {
		defer close(jobs)
		return w.read(ctx, jobs, free)
	})
	// Roomy enough that nobody waits for a sync.
	written := make(chan int64, len(w.have))
	var writing sync.WaitGroup
	for range workers {
		writing.Add(1)
		group.Go(func() error {
			defer writing.Done()
			return w.work(jobs, free, written)
		})
	}
	group.Go(func() error {
		writing.Wait()
		close(written)
		return nil
	})
	spans := int(w.Image.Root.Size()/readBackPiece+w.Image.Root.Size()/syncEvery) + 2 // one ends at each sync
	synced := make(chan span, spans)
	group.Go(func() error {
		defer close(synced)
		return w.syncBehind(written, synced)
	})
	for range workers {
		group.Go(func() error { return w.readBack(ctx, synced) })
	}
	return group.Wait()
}

// read fetches each run of missing chunks as one stream.
func (w *filler) read(ctx context.Context, jobs chan<- encoded, free <-chan []byte) error {
	for i := 0; i < len(w.have); {
		if w.have[i] {
			i++
			continue
		}
		run := i
		for run < len(w.have) && !w.have[run] {
			run++
		}
		if err := w.readRun(ctx, i, run, jobs, free); err != nil {
			return err
		}
		i = run
	}
	return nil
}

func (w *filler) readRun(ctx context.Context, first, end int, jobs chan<- encoded, free <-chan []byte) error {
	last := w.Image.Chunks[end-1]
	stream := w.Source(ctx, w.Image.Chunks[first].Frame, last.Frame+last.Encoded)
	defer stream.Close()
	for i := first; i < end; i++ {
		var buffer []byte
		select {
		case buffer = <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		size := w.Image.Chunks[i].Encoded
		if int64(cap(buffer)) < size {
			// Sizes differ from chunk to chunk; one that fits most is not made anew.
			buffer = make([]byte, max(size, w.largest/2))
		}
		buffer = buffer[:size]
		if _, err := io.ReadFull(stream, buffer); err != nil {
			return err
		}
		w.fetched += size
		select {
		case jobs <- encoded{i, buffer}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (w *filler) work(jobs <-chan encoded, free chan<- []byte, written chan<- int64) error {
	decoder, err := newDecoder(w.Image)
	if err != nil {
		return err
	}
	defer decoder.Close()
	for job := range jobs {
		data, _, err := decoder.decode(job.chunk, job.data)
		if err != nil {
			return err
		}
		offset, size := w.Image.Place(job.chunk)
		if _, err := w.slot.Root.WriteAt(data, offset); err != nil {
			return fmt.Errorf("writing %d bytes at %d: %w", size, offset, err)
		}
		w.slot.Root.Push(offset, size)
		w.mark(job.chunk, nil)
		free <- job.data // has room for every buffer there is
		written <- size
	}
	return nil
}
