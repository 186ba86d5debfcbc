// Package configuretest compares what builder/configure does to a tree with
// what real tools do to a folder.
package configuretest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

// Tree makes a tree of files by path: "text" is a file, "-> target" a link,
// and "/" a directory.
func Tree(t testing.TB, files map[string]string) *tree.Tree {
	t.Helper()
	into := tree.New()
	for path, text := range files {
		n := &tree.Node{Mode: 0o644, Source: "test", Content: tree.Content{At: strings.NewReader(text), Size: int64(len(text))}}
		switch {
		case text == "/":
			n = &tree.Node{Kind: tree.Directory, Mode: 0o755, Source: "test"}
		case strings.HasPrefix(text, "-> "):
			n = &tree.Node{Kind: tree.Symlink, Mode: 0o777, Source: "test", Target: text[3:]}
		}
		if err := into.Put(path, n); err != nil {
			t.Fatal(err)
		}
	}
	return into
}

// Folder writes the tree to a new folder, for a tool to work on. Owners are
// kept where the test runs as root.
func Folder(t testing.TB, from *tree.Tree) string {
	t.Helper()
	dir := t.TempDir()
	err := from.Walk(func(path string, n *tree.Node) error {
		at := filepath.Join(dir, path)
		var err error
		switch n.Kind {
		case tree.Directory:
			err = os.MkdirAll(at, 0o755)
		case tree.Symlink:
			return os.Symlink(n.Target, at)
		default:
			var data []byte
			if data, err = from.ReadFile(path, 1<<24); err == nil {
				err = os.WriteFile(at, data, 0o644)
			}
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Lchown(at, int(n.UID), int(n.GID))
		}
		if err == nil {
			err = syscall.Chmod(at, n.Mode)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Read makes a tree of a folder.
func Read(t testing.TB, dir string) *tree.Tree {
	t.Helper()
	into := tree.New()
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		var stat syscall.Stat_t
		if err := syscall.Lstat(at, &stat); err != nil {
			return err
		}
		n := &tree.Node{Mode: stat.Mode & 0o7777, Source: "test"}
		if os.Geteuid() == 0 {
			n.UID, n.GID = stat.Uid, stat.Gid
		}
		switch stat.Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
			n.Kind = tree.Directory
		case syscall.S_IFLNK:
			n.Kind = tree.Symlink
			n.Target, err = os.Readlink(at)
		case syscall.S_IFIFO:
			n.Kind = tree.FIFO
		case syscall.S_IFREG:
			var data []byte
			if os.Geteuid() != 0 { // tools make files that not even their owner reads
				if err := os.Chmod(at, 0o600); err != nil {
					return err
				}
			}
			data, err = os.ReadFile(at)
			n.Content = tree.Content{At: strings.NewReader(string(data)), Size: int64(len(data))}
		default:
			return nil
		}
		if err != nil {
			return err
		}
		return into.Put(path, n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return into
}
