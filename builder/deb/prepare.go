package deb

import (
	"fmt"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

const databaseSource = "package database"

// Prepare makes the links that must be there before the first package is laid.
// What is there already stays.
//
// Those of a merged /usr are debootstrap's: packages may still have files below
// /bin, and rely on finding them below /usr/bin, too. Those of /var are made by
// a script of base-files, which brings directories in their place.
func Prepare(t *tree.Tree, arch manifests.Arch) error {
	links := [][2]string{{"bin", "usr/bin"}, {"lib", "usr/lib"}, {"sbin", "usr/sbin"}, {"var/lock", "/run/lock"}, {"var/run", "/run"}}
	if arch == manifests.AMD64 {
		links = append(links, [][2]string{{"lib32", "usr/lib32"}, {"lib64", "usr/lib64"}, {"libx32", "usr/libx32"}}...)
	}
	for _, l := range links {
		if err := prepareLink(t, l[0], l[1]); err != nil {
			return fmt.Errorf("making the link %s to %s: %w", l[0], l[1], err)
		}
	}
	return nil
}

// prepareLink makes a link and the directory that it leads to.
func prepareLink(t *tree.Tree, path, target string) error {
	if _, there := t.Lookup(path); there {
		return nil
	}
	mode := uint32(0o755)
	if target == "/run/lock" {
		mode = 0o1777
	}
	if err := makeFolder(t, target, mode); err != nil {
		return err
	}
	return t.Put(path, &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: target, Source: databaseSource})
}

// makeFolder makes a directory where there is none.
func makeFolder(t *tree.Tree, path string, mode uint32) error {
	if n, there := t.Resolve(path); there && n.Kind == tree.Directory {
		return nil
	}
	return t.Put(path, &tree.Node{Kind: tree.Directory, Mode: mode, Source: databaseSource})
}
