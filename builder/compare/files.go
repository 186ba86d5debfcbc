package compare

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/tree"
)

// contentChanged is how File.What says that the bytes differ. It comes first.
const contentChanged = "content"

// pair is one path, with what each tree has there; nil for nothing.
type pair struct {
	path     string
	old, new *tree.Node
}

// pairs joins two trees by path, in the order of a walk through both.
func pairs(old, new *tree.Tree) []pair {
	a, b := names(old), names(new)
	var joined []pair
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && before(a[0].path, b[0].path):
			joined = append(joined, pair{a[0].path, a[0].node, nil})
			a = a[1:]
		case len(a) == 0 || before(b[0].path, a[0].path):
			joined = append(joined, pair{b[0].path, nil, b[0].node})
			b = b[1:]
		default:
			joined = append(joined, pair{a[0].path, a[0].node, b[0].node})
			a, b = a[1:], b[1:]
		}
	}
	return joined
}

type name struct {
	path string
	node *tree.Node
}

func names(t *tree.Tree) []name {
	var all []name
	_ = t.Walk(func(path string, n *tree.Node) error { // no error of ours, so none at all
		all = append(all, name{path, n})
		return nil
	})
	return all
}

// before reports whether a walk comes to path a before b: the root first, then
// name by name, so that "a/b" is before "a-".
func before(a, b string) bool {
	if a == "." || b == "." {
		return a == "." && b != "."
	}
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		if a[i] == '/' || b[i] == '/' {
			return a[i] == '/'
		}
		return a[i] < b[i]
	}
	return len(a) < len(b)
}

func compareFiles(ctx context.Context, old, new *tree.Tree) ([]File, error) {
	joined := pairs(old, new)
	differ, err := compareContents(ctx, joined)
	if err != nil {
		return nil, err
	}
	files := []File{}
	for i, p := range joined {
		switch {
		case p.old == nil:
			files = append(files, File{Change: Added, Path: p.path, Kind: p.new.Kind.String(), NewSize: p.new.Content.Size})
		case p.new == nil:
			files = append(files, File{Change: Removed, Path: p.path, Kind: p.old.Kind.String(), OldSize: p.old.Content.Size})
		default:
			what := compareMetadata(p.old, p.new)
			if differ[i] {
				what = append([]string{contentChanged}, what...)
			}
			if len(what) > 0 {
				files = append(files, File{Changed, p.path, p.new.Kind.String(), what, p.old.Content.Size, p.new.Content.Size})
			}
		}
	}
	return files, nil
}

// compareContents finds the pairs of files whose bytes differ. Sizes come
// first: most contents that differ are never read.
func compareContents(ctx context.Context, joined []pair) ([]bool, error) {
	differ := make([]bool, len(joined))
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			var buffers [2][]byte
			for i := range buffers {
				buffers[i] = make([]byte, 1<<18)
			}
			for {
				i := int(next.Add(1) - 1)
				if i >= len(joined) {
					return nil
				}
				p := joined[i]
				if p.old == nil || p.new == nil || p.old.Kind != tree.File || p.new.Kind != tree.File {
					continue
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				var err error
				if differ[i], err = contentsDiffer(p.old.Content, p.new.Content, buffers); err != nil {
					return fmt.Errorf("reading %q: %w", p.path, err)
				}
			}
		})
	}
	return differ, group.Wait()
}

func contentsDiffer(a, b tree.Content, buffers [2][]byte) (bool, error) {
	if a.Size != b.Size {
		return true, nil
	}
	for done := int64(0); done < a.Size; {
		size := min(int64(len(buffers[0])), a.Size-done)
		one, two := buffers[0][:size], buffers[1][:size]
		if err := readFull(a, one, done); err != nil {
			return false, err
		}
		if err := readFull(b, two, done); err != nil {
			return false, err
		}
		if !bytes.Equal(one, two) {
			return true, nil
		}
		done += size
	}
	return false, nil
}

func readFull(c tree.Content, p []byte, at int64) error {
	n, err := c.At.ReadAt(p, c.Offset+at)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// compareMetadata lists what differs besides the content.
func compareMetadata(a, b *tree.Node) []string {
	var what []string
	note := func(thing string, was, is any) {
		if was != is {
			what = append(what, fmt.Sprintf("%s %v → %v", thing, was, is))
		}
	}
	note("kind", a.Kind.String(), b.Kind.String())
	note("mode", fmt.Sprintf("%04o", a.Mode), fmt.Sprintf("%04o", b.Mode))
	note("owner", fmt.Sprintf("%d:%d", a.UID, a.GID), fmt.Sprintf("%d:%d", b.UID, b.GID))
	if a.Kind == tree.Symlink && b.Kind == tree.Symlink {
		note("target", fmt.Sprintf("%.200q", a.Target), fmt.Sprintf("%.200q", b.Target))
		if a.Target != b.Target && len(what) == 0 { // beyond what is shown
			what = append(what, "target")
		}
	}
	if a.Kind == b.Kind && (a.Kind == tree.CharDevice || a.Kind == tree.BlockDevice) {
		note("device", fmt.Sprintf("%d:%d", a.Device.Major, a.Device.Minor), fmt.Sprintf("%d:%d", b.Device.Major, b.Device.Minor))
	}
	for _, attribute := range attributes(a, b) {
		was, had := a.Xattrs[attribute]
		is, has := b.Xattrs[attribute]
		if was != is || had != has {
			what = append(what, fmt.Sprintf("attribute %.200q", attribute))
		}
	}
	return what
}

func attributes(a, b *tree.Node) []string {
	if len(a.Xattrs)+len(b.Xattrs) == 0 {
		return nil
	}
	all := map[string]bool{}
	for attribute := range a.Xattrs {
		all[attribute] = true
	}
	for attribute := range b.Xattrs {
		all[attribute] = true
	}
	return slices.Sorted(maps.Keys(all))
}
