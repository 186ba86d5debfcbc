package tree_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

func TestLimitsHoldAndAreGivenBack(t *testing.T) {
	into := tree.NewBounded(tree.Limits{Entries: 3, Bytes: 10, Metadata: 20})
	for range 100 { // in and out again, also with hard links
		put(t, into, "d/f", file("s", "0123456789"))
		if err := into.Link("d/g", "d/f"); err != nil {
			t.Fatal(err)
		}
		put(t, into, "d", directory("s", 0o700))
		if err := into.Remove("d"); err != nil {
			t.Fatal(err)
		}
	}
	put(t, into, "a", file("s", "43210"))
	put(t, into, "a", file("s", "01234"))
	put(t, into, "b", file("s", "01234"))
	for rule, n := range map[string]*tree.Node{
		"10 bytes of contents": file("s", "1"), "20 bytes of names": symlink("s", strings.Repeat("t", 20)),
	} {
		if err := into.Put("c", n); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("error %v: want %q in it", err, rule)
		}
	}
	put(t, into, "c", file("s", ""))
	if err := into.Put("d", file("s", "")); err == nil || !strings.Contains(err.Error(), "3 entries") {
		t.Errorf("error %v: want one about 3 entries", err)
	}
	huge := file("s", "")
	huge.Content.Size = 1<<63 - 1
	into = tree.New()
	put(t, into, "a", file("s", "1"))
	if err := into.Put("b", huge); err == nil {
		t.Error("2^63-1 bytes are accepted")
	}
}

func TestNodesThatNoLinuxHoldsAreRefused(t *testing.T) {
	for rule, n := range map[string]*tree.Node{
		"kind 7":              {Kind: 7},
		"mode 010000":         {Mode: 0o10000},
		"4294967295:0":        {UID: 1<<32 - 1},
		"0:4294967295":        {GID: 1<<32 - 1},
		"-1 bytes":            {Content: tree.Content{Size: -1}},
		"but no content":      {Content: tree.Content{Size: 1}},
		"FIFO has content":    {Kind: tree.FIFO, Content: tree.Content{At: strings.NewReader("x"), Size: 1}},
		"4096:0":              {Kind: tree.CharDevice, Device: tree.Device{Major: 4096}},
		"0:1048576":           {Kind: tree.BlockDevice, Device: tree.Device{Minor: 1 << 20}},
		`symbolic link to ""`: {Kind: tree.Symlink},
		"without NUL":         {Kind: tree.Symlink, Target: "a\x00b"},
		"namespace.name":      {Xattrs: map[string]string{"x": ""}},
		"want at most 65536":  {Xattrs: map[string]string{"user.x": strings.Repeat("x", 65536)}},
	} {
		if err := tree.New().Put("x", n); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("error %v: want %q in it", err, rule)
		}
	}
}

func FuzzTree(f *testing.F) {
	f.Add("p a/b\nl a/b c\ns d ..\np d/x\nd a\nr a/b\nm c d")
	f.Add("s a a\np a/b\ns b /c/../d\nd b/x\nl e b/x")
	f.Fuzz(func(t *testing.T, script string) {
		into := tree.NewBounded(tree.Limits{Entries: 100, Bytes: 100, Metadata: 10_000})
		for i, line := range strings.SplitN(script, "\n", 50) {
			op, rest, _ := strings.Cut(line, " ")
			path, target, _ := strings.Cut(rest, " ")
			source := fmt.Sprint("s", i%2)
			switch op {
			case "p":
				_ = into.Put(path, file(source, target))
			case "d":
				_ = into.Put(path, directory(source, 0o700))
			case "s":
				_ = into.Put(path, symlink(source, target))
			case "R":
				_ = into.Replace(path, file(source, target))
			case "D":
				_ = into.Replace(path, directory(source, 0o711))
			case "l":
				_ = into.Link(path, target)
			case "r":
				_ = into.Remove(path)
			}
		}
		entries := 0
		err := into.Walk(func(path string, n *tree.Node) error {
			entries++
			clean, err := tree.Clean(path)
			if clean != path {
				t.Errorf("%q is not clean", path)
			}
			if found, ok := into.Lookup(path); !ok || found != n {
				t.Errorf("%q is not found again", path)
			}
			return err
		})
		if err != nil || entries > 101 {
			t.Errorf("%d entries, %v", entries, err)
		}
		names, err := into.Children(".")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := into.Remove(name); err != nil {
				t.Error(err)
			}
		}
		// All that was counted must have been given back.
		for i := range 100 {
			if err := into.Put(fmt.Sprint(i), file("s", "x")); err != nil {
				t.Errorf("after removing everything: %v", err)
			}
		}
	})
}
