package slots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/proa-os/proa/fetch"
)

// Origin is a place that has the file which the chunks are made of.
type Origin interface {
	// Each hands what the file has at the spans, which ascend, to take: each once, by
	// up to parallel goroutines, in no order. An error of take ends it.
	Each(ctx context.Context, spans []fetch.Span, parallel int, take func(n int, r io.Reader) error) error
	// Usable reports whether it is worth asking.
	Usable() bool
	// Failed tells it that what it gave, or did not give, was of no use.
	Failed(err error)
}

// errDropped ends a fetch from an origin that is not usable any more.
var errDropped = errors.New("what came was of no use too often")

// fetchAll fetches chunks from one origin after the other, from each what those
// before did not give.
func (w *filler) fetchAll(ctx context.Context, chunks []int) error {
	slices.SortFunc(chunks, func(a, b int) int { return cmp.Compare(w.Image.Chunks[a].Frame, w.Image.Chunks[b].Frame) })
	var why error
	for i, o := range w.Origins {
		final := i == len(w.Origins)-1
		if len(chunks) == 0 {
			return nil
		}
		if !o.Usable() && (!final || w.Partial) {
			continue
		}
		failed, reason, err := w.from(ctx, o, chunks, final && !w.Partial)
		if err != nil {
			return err
		}
		if reason != nil {
			why = reason
		}
		chunks = failed
	}
	switch {
	case len(chunks) == 0:
		return nil
	case w.Partial:
		w.leave(chunks, why)
		return nil
	case why == nil:
		return fmt.Errorf("%d chunks did not come", len(chunks))
	}
	return why
}

// lanes is how many requests are under way at once.
func (w *filler) lanes() int {
	lanes, each := w.Lanes, w.encoded
	if lanes == 0 {
		lanes = 2
	}
	if w.Patches == nil {
		each += w.size
	} else {
		lanes = min(lanes, 2) // what waits for memory to be patched has some itself
	}
	return int(max(1, min(int64(lanes), lanesMemory/max(1, each))))
}

// from fetches chunks, in the order of the file, from one origin. It returns those
// that did not come, or were not the image's, and why; strictly, the first of them
// is the last that is looked at. What ends it all is err.
func (w *filler) from(ctx context.Context, o Origin, chunks []int, strictly bool) (failed []int, why, err error) {
	t := &taking{filler: w, origin: o, chunks: chunks, strictly: strictly, free: make(chan *lane, w.lanes()), done: make([]bool, len(chunks))}
	for range cap(t.free) {
		l, err := w.newLane()
		if err != nil {
			return nil, nil, err
		}
		defer l.close()
		t.free <- l
	}
	why = t.run(ctx)
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if t.fatal != nil {
		return nil, nil, t.fatal
	}
	if why != nil && !errors.Is(why, ErrContent) && !errors.Is(why, errDropped) {
		o.Failed(why)
	}
	if t.odd != nil {
		why = t.odd
	}
	for i, n := range chunks {
		if !t.done[i] {
			failed = append(failed, n)
		}
	}
	return failed, why, nil
}

// taking is a fetch from one origin.
type taking struct {
	*filler
	origin   Origin
	chunks   []int
	strictly bool
	free     chan *lane

	mu    sync.Mutex
	done  []bool // of chunks
	odd   error  // the first chunk that was not what it should be
	fatal error  // what has nothing to do with the origin
}

// run is nil when every chunk was looked at.
func (t *taking) run(ctx context.Context) error {
	var spans []fetch.Span
	var numbers []int // of spans, in chunks
	for i, n := range t.chunks {
		c := t.Image.Chunks[n]
		if c.Encoded > 0 {
			spans, numbers = append(spans, fetch.Span{From: c.Frame, To: c.Frame + c.Encoded}), append(numbers, i)
		} else if err := t.take(ctx, i, nil); err != nil {
			return err
		}
	}
	if len(spans) == 0 {
		return nil
	}
	return t.origin.Each(ctx, spans, cap(t.free), func(n int, r io.Reader) error { return t.take(ctx, numbers[n], r) })
}

// take makes and writes one chunk of what r brings. Its error ends the fetch.
func (t *taking) take(ctx context.Context, i int, r io.Reader) error {
	l := <-t.free
	defer func() { t.free <- l }()
	c := t.Image.Chunks[t.chunks[i]]
	fetched := l.room(c.Encoded)
	if r != nil {
		n, err := io.ReadFull(r, fetched)
		t.count(int64(n))
		if err != nil {
			return err
		}
	}
	odd, err := l.one(ctx, t.chunks[i], fetched)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		if t.fatal == nil {
			t.fatal = err
		}
		return err
	case odd == nil:
		t.done[i] = true
		return nil
	}
	if t.odd == nil {
		t.odd = odd
	}
	if t.strictly {
		return odd
	}
	if r == nil {
		return nil // it is not the fault of who is asked
	}
	if t.origin.Failed(odd); !t.origin.Usable() {
		return errDropped
	}
	return nil
}

func (w *filler) count(fetched int64) {
	w.mu.Lock()
	w.done.Fetched += fetched
	w.mu.Unlock()
}

// lane is the buffers of one request.
type lane struct {
	*filler
	decoder *decoder // nil with patches
	buffer  []byte
}

func (w *filler) newLane() (*lane, error) {
	l := &lane{filler: w}
	var err error
	if w.Patches == nil {
		l.decoder, err = newDecoder(w.Image)
	}
	return l, err
}

func (l *lane) close() {
	if l.decoder != nil {
		l.decoder.Close()
	}
}

// room is a buffer of size bytes.
func (l *lane) room(size int64) []byte {
	if int64(cap(l.buffer)) < size {
		l.buffer = make([]byte, max(size, l.encoded/2)) // one that fits most is not made anew
	}
	return l.buffer[:size]
}

// one makes and writes one chunk. That it is not what it should be is odd; err
// is what ends it all.
func (l *lane) one(ctx context.Context, n int, fetched []byte) (odd, err error) {
	if l.Patches == nil {
		data, _, odd := l.decoder.decode(n, fetched)
		if odd != nil {
			return odd, nil
		}
		return nil, l.put(data, n, n+1, &l.done.Decoded)
	}
	if l.Patches[n] == nil {
		return fmt.Errorf("chunk %d: %w: the active slot does not hold it", n, ErrContent), nil
	}
	return l.patchers.one(ctx, n, fetched)
}
