package cache

import (
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

func FuzzDecode(f *testing.F) {
	at := &contents{}
	nodes := []*tree.Node{
		{Content: tree.Content{At: at, Offset: 3, Size: 4, Sums: &tree.Sums{SHA256: [32]byte{1}}}, Xattrs: map[string]string{"user.a": "b"}, Source: "s"},
		{Kind: tree.Symlink, Target: "a"}, {Kind: tree.CharDevice}, {Kind: tree.Directory},
	}
	u := Unpacked{About: []byte("{}"), Entries: []tree.Entry{{Path: "l", Link: "a"}}}
	for _, n := range append(nodes, nodes...) {
		u.Entries = append(u.Entries, tree.Entry{Path: "a", Node: n})
	}
	offset := func(c tree.Content) (int64, bool) { return c.Offset, true }
	seed, err := encode(manifests.Digest{}, "k", u, offset)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Fuzz(func(t *testing.T, index []byte) {
		const size = 100
		u, err := decode(index, manifests.Digest{}, "k", at, size)
		if err != nil {
			return
		}
		for _, e := range u.Entries {
			if e.Node != nil && (e.Node.Content.Offset < 0 || e.Node.Content.Size < 0 || e.Node.Content.Offset+e.Node.Content.Size > size) {
				t.Errorf("content at %d of %d bytes", e.Node.Content.Offset, e.Node.Content.Size)
			}
		}
		// What was read can be written and read again.
		again, err := encode(manifests.Digest{}, "k", u, offset)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(again, manifests.Digest{}, "k", at, size); err != nil {
			t.Errorf("%v: %q", err, again)
		}
	})
}

func FuzzFooter(f *testing.F) {
	f.Add(footer{contents: 10, index: 20}.encode(), int64(30+footerLen))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if len(b) != footerLen {
			return
		}
		got, err := decodeFooter(b, size)
		if err == nil && (got.contents < 0 || got.index < 0 || got.contents+got.index+footerLen != size || !strings.HasPrefix(string(b), magic)) {
			t.Errorf("%+v of %d bytes", got, size)
		}
	})
}
