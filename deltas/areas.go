package deltas

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/proa-os/proa/deltas/packed"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/filemap"
)

// area is a run of blocks that belong together: the content of a file, or what
// lies between such contents, which has no path.
type area struct {
	at, n int // blocks
	path  string
	part  bool // of a compressed file: each part is one stream
	lead  int  // blocks before a part in which its stream begins
}

// compressed says whether a decompresses to something else, and can be patched as a
// whole.
func (a area) compressed() bool { return a.part || path.Ext(a.path) == ".gz" && a.n <= outputMost }

// inParts is areas in which the kernel images of r are cut where their streams end.
func inParts(r io.ReaderAt, areas []area) ([]area, error) {
	const kernelMost = 64 << 20 / manifests.BlockSize
	var all []area
	for _, a := range areas {
		if !strings.HasPrefix(path.Base(a.path), "vmlinuz") || a.n > kernelMost {
			all = append(all, a)
			continue
		}
		content := make([]byte, a.n*manifests.BlockSize)
		if err := readFull(r, content, int64(a.at)*manifests.BlockSize); err != nil {
			return nil, err
		}
		all = append(all, a.cut(packed.Parts(content))...)
	}
	return all, nil
}

// cut is the parts of a, of streams that end there, in bytes, and what is behind them. It
// is a itself when a part would be too long.
func (a area) cut(ends []int) []area {
	var parts []area
	rest := a
	for i, end := range ends {
		n := (end-1)/manifests.BlockSize + 1 - (rest.at - a.at)
		if n > outputMost {
			return []area{a}
		}
		if n < 1 {
			continue
		}
		p := area{at: rest.at, n: n, path: fmt.Sprintf("%s/%d", a.path, i), part: true}
		if i > 0 {
			p.lead = 1
		}
		parts = append(parts, p)
		rest.at, rest.n = rest.at+n, rest.n-n
	}
	if rest.n > 0 {
		parts = append(parts, rest)
	}
	return parts
}

// areasOf tiles an image of the given number of blocks with areas, in order.
func areasOf(m filemap.Map, blocks int) ([]area, error) {
	var all []area
	end := 0
	for _, e := range m {
		at, n := e.Offset/manifests.BlockSize, (e.Size-1)/manifests.BlockSize+1
		if e.Offset%manifests.BlockSize != 0 || e.Size < 1 || at < int64(end) || n > int64(blocks) || at > int64(blocks)-n {
			return nil, fmt.Errorf("file map: %.200q at %d, %d bytes: not in order and within the image", e.Path, e.Offset, e.Size)
		}
		if int(at) > end {
			all = append(all, area{at: end, n: int(at) - end})
		}
		all = append(all, area{at: int(at), n: int(n), path: e.Path})
		end = int(at + n)
	}
	if end < blocks {
		all = append(all, area{at: end, n: blocks - end})
	}
	return all, nil
}

// pairing finds for an area of the new image the old one that it most likely
// comes from.
type pairing struct {
	old             []area
	byPath          map[string]int
	byShape, byName map[string][]int
}

func newPairing(old, new []area) *pairing {
	p := &pairing{old: old, byPath: map[string]int{}, byShape: map[string][]int{}, byName: map[string][]int{}}
	stay := map[string]bool{}
	for _, a := range new {
		stay[a.path] = true
	}
	for i, a := range old {
		if a.path == "" {
			continue
		}
		p.byPath[a.path] = i
		if !stay[a.path] { // what stays has its own new self
			p.byShape[shape(a.path)] = append(p.byShape[shape(a.path)], i)
			p.byName[path.Base(shape(a.path))] = append(p.byName[path.Base(shape(a.path))], i)
		}
	}
	return p
}

// of is the old area for a, or false when there is none.
func (p *pairing) of(a area) (area, bool) {
	if a.path == "" {
		return p.unnamed(a)
	}
	if i, same := p.byPath[a.path]; same {
		return p.old[i], true
	}
	for _, candidates := range [][]int{p.byShape[shape(a.path)], p.byName[path.Base(shape(a.path))]} {
		if len(candidates) == 0 {
			continue
		}
		best := candidates[0]
		for _, i := range candidates {
			if p.cost(a, i) < p.cost(a, best) {
				best = i
			}
		}
		return p.old[best], true
	}
	return area{}, false
}

// cost is how unlike an old file is by name and size: the folders that differ
// count first.
func (p *pairing) cost(a area, i int) int {
	was := p.old[i]
	same := 0
	x, y := strings.Split(a.path, "/"), strings.Split(was.path, "/")
	for same < min(len(x), len(y)) && x[len(x)-1-same] == y[len(y)-1-same] {
		same++
	}
	return (len(x)+len(y)-2*same)<<32 + distance(a.n, was.n)
}

// unnamed pairs the file system's own blocks: the first with the first, what is
// behind all files with that.
func (p *pairing) unnamed(a area) (area, bool) {
	if len(p.old) == 0 {
		return area{}, false
	}
	was := p.old[len(p.old)-1]
	if a.at == 0 {
		was = p.old[0]
	}
	return was, was.path == ""
}

// shape is a path with its versions taken out: numbers, and what links several,
// are one sign.
func shape(path string) string {
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c < '0' || c > '9' {
			out = append(out, c)
			continue
		}
		if n := len(out); n >= 2 && out[n-2] == '#' && strings.IndexByte(".-+~_", out[n-1]) >= 0 {
			out = out[:n-1]
		} else if n == 0 || out[n-1] != '#' {
			out = append(out, '#')
		}
	}
	return string(out)
}
