package depmod

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

// counted counts the bytes that are read.
type counted struct {
	r *strings.Reader
	n atomic.Int64
}

func (c *counted) ReadAt(b []byte, offset int64) (int, error) {
	n, err := c.r.ReadAt(b, offset)
	c.n.Add(int64(n))
	return n, err
}

func TestAModuleOfManyNamesIsReadOnce(t *testing.T) {
	reads := func(names int) int64 {
		text := "no module" + strings.Repeat(".", 1000)
		c := &counted{r: strings.NewReader(text)}
		n := &tree.Node{Content: tree.Content{At: c, Size: int64(len(text))}}
		var modules []*module
		for range names {
			modules = append(modules, &module{path: "a.ko", node: n})
		}
		if err := read(t.Context(), modules); err == nil || !strings.Contains(err.Error(), "a.ko") {
			t.Errorf("error %v", err)
		}
		return c.n.Load()
	}
	if one, many := reads(1), reads(100); one == 0 || one != many {
		t.Errorf("%d bytes are read, for 100 names %d", one, many)
	}
}
