package sbom

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

// Sums are the digests of one content. SPDX demands the first.
type Sums struct {
	SHA1   [sha1.Size]byte
	SHA256 [sha256.Size]byte
}

// Hash reads the content of every file once, several at a time, but for those
// that known has; known may be nil, and is called by several goroutines.
func Hash(ctx context.Context, t *tree.Tree, known func(*tree.Node) (Sums, bool)) (map[*tree.Node]Sums, error) {
	type job struct {
		path string
		node *tree.Node
	}
	var jobs []job
	index := map[*tree.Node]int{}
	err := t.Walk(func(path string, n *tree.Node) error {
		if _, again := index[n]; n.Kind == tree.File && !again {
			index[n] = len(jobs)
			jobs = append(jobs, job{path, n})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sums := make([]Sums, len(jobs))
	workers := runtime.GOMAXPROCS(0)
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range workers {
		group.Go(func() error {
			buffer := make([]byte, 1<<18)
			for {
				i := int(next.Add(1) - 1)
				if i >= len(jobs) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if known != nil {
					var ok bool
					if sums[i], ok = known(jobs[i].node); ok {
						continue
					}
				}
				var err error
				if sums[i], err = hash(jobs[i].node.Content, buffer); err != nil {
					return fmt.Errorf("reading %q: %w", jobs[i].path, err)
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := make(map[*tree.Node]Sums, len(jobs))
	for i, j := range jobs {
		out[j.node] = sums[i]
	}
	return out, nil
}

func hash(c tree.Content, buffer []byte) (Sums, error) {
	one, two := sha1.New(), sha256.New()
	for done := int64(0); done < c.Size; {
		part := buffer[:min(int64(len(buffer)), c.Size-done)]
		n, err := c.At.ReadAt(part, c.Offset+done)
		if n < len(part) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return Sums{}, err
		}
		one.Write(part)
		two.Write(part)
		done += int64(n)
	}
	return Sums{[sha1.Size]byte(one.Sum(nil)), [sha256.Size]byte(two.Sum(nil))}, nil
}
