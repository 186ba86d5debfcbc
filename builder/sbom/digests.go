package sbom

import (
	"context"
	"errors"
	"fmt"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
)

// Sums are the digests of one content. SPDX demands the first.
type Sums = tree.Sums

// Hash digests the content of every file, and reads those that it must.
func Hash(ctx context.Context, t *tree.Tree) (map[*tree.Node]Sums, error) {
	var paths []string
	var nodes []*tree.Node
	index := map[*tree.Node]int{}
	err := t.Walk(func(path string, n *tree.Node) error {
		if _, again := index[n]; n.Kind == tree.File && !again {
			index[n] = len(nodes)
			nodes = append(nodes, n)
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sums, err := content.Sum(ctx, nodes)
	var unreadable *content.UnreadableError
	if errors.As(err, &unreadable) {
		return nil, fmt.Errorf("reading %q: %w", paths[unreadable.Index], unreadable.Err)
	}
	if err != nil {
		return nil, err
	}
	out := make(map[*tree.Node]Sums, len(nodes))
	for i, n := range nodes {
		out[n] = sums[i]
	}
	return out, nil
}
