package erofs

import (
	"cmp"
	"io"
	"slices"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests/filemap"
)

// readLayout says where the contents lie that have blocks of their own: only
// they begin with a block.
func readLayout(r io.ReaderAt) (filemap.Layout, error) {
	t, err := Read(r, "")
	if err != nil {
		return nil, err
	}
	var layout filemap.Layout
	seen := map[*tree.Node]bool{}
	err = t.Walk(func(path string, n *tree.Node) error {
		if n.Kind == tree.File && n.Content.Size > 0 && n.Content.Offset%BlockSize == 0 && !seen[n] {
			seen[n] = true
			layout = append(layout, filemap.Node{Extent: filemap.Extent{Offset: n.Content.Offset, Size: n.Content.Size, Path: path}})
		}
		return nil
	})
	slices.SortFunc(layout, func(a, b filemap.Node) int { return cmp.Compare(a.Offset, b.Offset) })
	return layout, err
}
