package content

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/tree"
)

// Sum digests nodes, which are files, reading several at a time and each once.
// What a node knows of itself already is believed. The order is theirs; an
// error is an *UnreadableError.
func Sum(ctx context.Context, nodes []*tree.Node) ([]tree.Sums, error) {
	sums := make([]tree.Sums, len(nodes))
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			buffer := make([]byte, 256<<10)
			for {
				i := int(next.Add(1) - 1)
				if i >= len(nodes) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if known := nodes[i].Content.Sums; known != nil {
					sums[i] = *known
					continue
				}
				var err error
				if sums[i], err = sum(nodes[i].Content, buffer); err != nil {
					return &UnreadableError{i, err}
				}
			}
		})
	}
	return sums, group.Wait()
}

// UnreadableError says which content could not be read.
type UnreadableError struct {
	Index int // in what Sum was given
	Err   error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("reading content %d: %v", e.Index, e.Err)
}

// Unwrap is why.
func (e *UnreadableError) Unwrap() error { return e.Err }

func sum(c tree.Content, buffer []byte) (tree.Sums, error) {
	one, two := sha1.New(), sha256.New()
	for done := int64(0); done < c.Size; {
		part := buffer[:min(int64(len(buffer)), c.Size-done)]
		n, err := c.At.ReadAt(part, c.Offset+done)
		if n < len(part) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return tree.Sums{}, err
		}
		one.Write(part)
		two.Write(part)
		done += int64(n)
	}
	return tree.Sums{SHA1: [sha1.Size]byte(one.Sum(nil)), SHA256: [sha256.Size]byte(two.Sum(nil))}, nil
}
