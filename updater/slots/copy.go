package slots

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/partitions/verity"
)

// pushLeast is the fewest bytes that are worth a call to write them back early.
const pushLeast = 64 << 10

// write writes to the root partition.
func (s *Slot) write(data []byte, offset int64) error {
	if _, err := s.Root.WriteAt(data, offset); err != nil {
		return fmt.Errorf("writing %d bytes at %d: %w", len(data), offset, err)
	}
	if len(data) >= pushLeast {
		s.Root.Push(offset, int64(len(data)))
	}
	return nil
}

// copyMost is the bytes that are copied at once, if no chunk is larger.
const copyMost = 1 << 20

// copyAll copies chunks from the active slot. Those that it does not hold after
// all are noted as failed.
func (w *filler) copyAll(ctx context.Context, chunks []int) error {
	group, ctx := errgroup.WithContext(ctx)
	runs := make(chan []int)
	group.Go(func() error {
		defer close(runs)
		for len(chunks) > 0 {
			n := w.copyRun(chunks)
			select {
			case runs <- chunks[:n]:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			chunks = chunks[n:]
		}
		return nil
	})
	for range workers() {
		group.Go(func() error {
			c := &copier{filler: w}
			for run := range runs {
				if err := c.copy(run); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// copyRun is how many of the chunks, from the first on, follow each other in both
// slots and are copied at once.
func (w *filler) copyRun(chunks []int) int {
	first := w.Image.Chunks[chunks[0]]
	shift, end := w.Old[chunks[0]]-first.Offset, first.Offset+first.Size
	for i, n := range chunks[1:] {
		c := w.Image.Chunks[n]
		if c.Offset != end || w.Old[n] != end+shift || c.Offset+c.Size-first.Offset > copyMost {
			return i + 1
		}
		end += c.Size
	}
	return len(chunks)
}

type copier struct {
	*filler
	buffer, hashes []byte
}

// copy copies a run, without those of its chunks that the active slot does not
// hold as they should be.
func (c *copier) copy(run []int) error {
	data, leaves := c.read(run)
	if data == nil {
		if len(run) == 1 {
			c.fail(run[0])
			return nil
		}
		for i := range run { // one bad sector must not cost all of them
			if err := c.copy(run[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	first, start, at := 0, int64(0), int64(0) // of what is to be written: the place in run, and in data
	put := func(end int) error {
		if first == end {
			return nil
		}
		return c.put(data[start:at], run[first], run[end-1]+1, &c.done.Copied)
	}
	for i, n := range run {
		end := at + c.Image.Chunks[n].Size
		if !c.Image.matches(n, leaves[hashesOf(at):hashesOf(end)]) {
			if err := put(i); err != nil {
				return err
			}
			c.fail(n)
			first, start = i+1, end
		}
		at = end
	}
	return put(len(run))
}

// read reads a run from the active slot; nothing when a part of it cannot be read.
func (c *copier) read(run []int) (data, leaves []byte) {
	last := c.Image.Chunks[run[len(run)-1]]
	size := last.Offset + last.Size - c.Image.Chunks[run[0]].Offset
	if int64(cap(c.buffer)) < size {
		c.buffer = make([]byte, max(size, min(copyMost, c.Image.Root.Size())))
	}
	data = c.buffer[:size]
	if n, _ := c.Active.ReadAt(data, c.Old[run[0]]); n < len(data) {
		return nil, nil
	}
	c.hashes = verity.LeafHashes(c.hashes[:0], c.Image.Root.Salt, data)
	return data, c.hashes
}

func (w *filler) fail(n int) {
	w.mu.Lock()
	w.failed = append(w.failed, n)
	w.done.Damaged += w.Image.Chunks[n].Size
	w.mu.Unlock()
}
