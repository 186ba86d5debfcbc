// Package treetest shows trees as text, for tests that compare them.
package treetest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// List has one line for every name in t, in Walk's order: path, kind, mode,
// owner, and what else there is. A further name of a hard-linked node has only
// "= <first name>". Contents up to 64 bytes are shown, longer ones by digest.
func List(t *tree.Tree) ([]string, error) {
	var lines []string
	first := map[*tree.Node]string{}
	err := t.Walk(func(path string, n *tree.Node) error {
		if name, ok := first[n]; ok {
			lines = append(lines, fmt.Sprintf("%s = %s", show(path), show(name)))
			return nil
		}
		first[n] = path
		line, err := describe(path, n)
		lines = append(lines, line)
		return err
	})
	return lines, err
}

func describe(path string, n *tree.Node) (string, error) {
	line := fmt.Sprintf("%s %s %04o %d:%d", show(path), n.Kind, n.Mode, n.UID, n.GID)
	switch n.Kind {
	case tree.File:
		body, err := content(n.Content)
		if err != nil {
			return line, fmt.Errorf("reading %q: %w", path, err)
		}
		line += " " + body
	case tree.Symlink:
		line += " -> " + show(n.Target)
	case tree.CharDevice, tree.BlockDevice:
		line += fmt.Sprintf(" %d:%d", n.Device.Major, n.Device.Minor)
	}
	for _, name := range slices.Sorted(maps.Keys(n.Xattrs)) {
		line += fmt.Sprintf(" %s=%q", name, n.Xattrs[name])
	}
	return line, nil
}

func content(c tree.Content) (string, error) {
	if c.Size == 0 {
		return `""`, nil
	}
	if c.Size <= 64 {
		data := make([]byte, c.Size)
		_, err := io.ReadFull(c.Open(), data)
		return fmt.Sprintf("%q", data), err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, c.Open())
	if err == nil && n != c.Size {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Sprintf("%d bytes %x", n, sum.Sum(nil)[:8]), err
}

// show quotes a name only if it needs that.
func show(name string) string {
	if quoted := fmt.Sprintf("%q", name); quoted != `"`+name+`"` || strings.Contains(name, " ") {
		return quoted
	}
	return name
}
