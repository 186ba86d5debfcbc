package fetch

import (
	"context"
	"io"
	"math"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Each hands every span to take, once, with its number and a reader of exactly
// its bytes; what take leaves unread is skipped. Up to parallel requests are
// made at once, and take is called by as many goroutines, in no order. The spans
// must ascend and not overlap; long ones are best given in pieces, for they are
// not divided. A server that ignores ranges is read once, by one of them. The
// error is the first of a reader, as of Range, or of take.
func (o *Object) Each(ctx context.Context, spans []Span, parallel int, take func(n int, r io.Reader) error) error {
	if err := o.check(spans); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	e := &each{object: o, take: take, pieces: pieces(spans, parallel)}
	others := min(parallel, len(e.pieces)) - 1
	// They wait for the first answer: it tells whether ranges are known.
	group.Go(func() error {
		return e.work(ctx, func() {
			if o.ignoresRanges() {
				return
			}
			for range others {
				group.Go(func() error { return e.work(ctx, nil) })
			}
		})
	})
	return group.Wait()
}

// piece is spans for one request.
type piece struct {
	first int // the number of the first
	spans []Span
}

// pieces divides the work so that all have some until the end, and requests are
// few.
func pieces(spans []Span, parallel int) []piece {
	const least, most = 1 << 20, 4 << 20
	total := int64(0)
	for _, s := range spans {
		total += s.To - s.From
	}
	size := min(most, max(least, total/int64(max(1, 4*parallel))))
	if parallel <= 1 {
		size = math.MaxInt64
	}
	var all []piece
	for first := 0; first < len(spans); {
		end := first + run(spans[first:])
		for i := first + 1; i < end; i++ {
			if spans[i].To-spans[first].From > size {
				end = i
			}
		}
		all = append(all, piece{first, append([]Span(nil), spans[first:end]...)})
		first = end
	}
	return all
}

type each struct {
	object *Object
	take   func(n int, r io.Reader) error

	mu     sync.Mutex
	pieces []piece // that nobody works on
	reader *stream // the one that reads the whole file; nil where ranges are known
}

// next gives the next piece for s to read.
func (e *each) next(s *stream) (piece, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reader == nil && s.pass {
		e.reader = s
	}
	if len(e.pieces) == 0 || e.reader != nil && e.reader != s {
		return piece{}, false
	}
	p := e.pieces[0]
	e.pieces = e.pieces[1:]
	return p, true
}

func (e *each) work(ctx context.Context, opened func()) error {
	s := e.object.stream(ctx, nil)
	s.opened = opened
	defer s.Close()
	for {
		p, some := e.next(s)
		if !some {
			return nil
		}
		s.spans = p.spans
		for i, span := range p.spans {
			if err := e.take(p.first+i, io.LimitReader(s, span.To-span.From)); err != nil {
				return err
			}
			s.spans = p.spans[i+1:]
		}
	}
}
