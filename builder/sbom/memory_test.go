package sbom

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/spdx/tools-golang/spdx/v2/common"

	"github.com/proa-os/proa/builder/tree"
)

// liveHeap is a writer that looks how much memory is in use.
type liveHeap struct{ bytes, writes, most uint64 }

func (l *liveHeap) Write(b []byte) (int, error) {
	if l.bytes += uint64(len(b)); l.writes%8 == 0 {
		l.most = max(l.most, heap())
	}
	l.writes++
	return len(b), nil
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestADocumentOfManyFilesFitsIntoMemory(t *testing.T) {
	const count = 100_000
	c := config(t)
	c.Sums = map[*tree.Node]Sums{}
	for i := range count {
		n := &tree.Node{Kind: tree.File, Source: "test"}
		if err := c.Tree.Put(fmt.Sprintf("many/%d/%d", i/1000, i), n); err != nil {
			t.Fatal(err)
		}
		c.Sums[n] = Sums{}
	}
	before := heap()
	var l liveHeap
	if err := Write(t.Context(), &l, c); err != nil {
		t.Fatal(err)
	}
	if used := l.most - before; l.bytes < count*500 || used > 100<<20 {
		t.Errorf("%d bytes written with %d of memory", l.bytes, used)
	}
	runtime.KeepAlive(c)
}

func TestRelationshipsAreCounted(t *testing.T) {
	d := &document{relations: make([]relation, maxRelations)}
	if d.relate("a", common.TypeRelationshipContains, "b"); !errors.Is(d.err, errTooMany) || len(d.relations) != maxRelations {
		t.Errorf("error %v", d.err)
	}
}

func TestAFrameThatIsNotAsExpectedIsAnError(t *testing.T) {
	e := &elements{frame: []byte("{}")}
	if e.add("files", 0, 1); e.err == nil {
		t.Error("an element has been put anywhere")
	}
	if err := e.end(); err == nil {
		t.Error("the document was written")
	}
	d := &document{Config: config(t)}
	d.Tree = tree.New()
	d.Inventory.Packages, d.Inputs = nil, nil
	if err := Write(t.Context(), io.Discard, d.Config); err != nil {
		t.Errorf("a document without files: %v", err)
	}
}
