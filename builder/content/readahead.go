package content

import (
	"context"
	"io"
)

const (
	aheadPiece  = 256 << 10
	aheadPieces = 4
)

// readAhead reads r in a goroutine of its own, a few pieces ahead.
type readAhead struct {
	ctx    context.Context
	stop   context.CancelFunc
	full   chan piece
	empty  chan []byte
	piece  piece
	unread []byte
}

type piece struct {
	data []byte
	err  error // behind data
}

// newReadAhead calls done when it does not read r any more.
func newReadAhead(ctx context.Context, r io.Reader, done func()) *readAhead {
	a := &readAhead{full: make(chan piece, aheadPieces), empty: make(chan []byte, aheadPieces)}
	a.ctx, a.stop = context.WithCancel(ctx)
	for range aheadPieces {
		a.empty <- make([]byte, aheadPiece)
	}
	go func() {
		defer done()
		a.fill(r)
	}()
	return a
}

// fill sends every piece that is read from r, the last with its error.
func (a *readAhead) fill(r io.Reader) {
	for {
		select {
		case <-a.ctx.Done():
			return
		case buffer := <-a.empty:
			n, err := readSome(r, buffer)
			select {
			case <-a.ctx.Done():
				return
			case a.full <- piece{buffer[:n], err}:
			}
			if err != nil {
				return
			}
		}
	}
}

// readSome is io.ReadFull that returns the reader's own error.
func readSome(r io.Reader, buffer []byte) (int, error) {
	n, idle := 0, 0
	for n < len(buffer) {
		m, err := r.Read(buffer[n:])
		n += m
		if err != nil {
			return n, err
		}
		if idle++; m > 0 {
			idle = 0
		}
		if idle > 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

func (a *readAhead) Read(p []byte) (int, error) {
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	for len(a.unread) == 0 {
		if a.piece.err != nil {
			return 0, a.piece.err
		}
		if a.piece.data != nil {
			a.empty <- a.piece.data[:cap(a.piece.data)]
		}
		select {
		case <-a.ctx.Done():
			return 0, a.ctx.Err()
		case a.piece = <-a.full:
			a.unread = a.piece.data
		}
	}
	n := copy(p, a.unread)
	a.unread = a.unread[n:]
	return n, nil
}
