package deb

import (
	"fmt"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

const databaseSource = "package database"

// Prepare makes the links of a merged /usr, as debootstrap does before the
// first package of an installation is laid: packages may still have files
// below /bin, and rely on finding them below /usr/bin, too. What is there
// already stays.
func Prepare(t *tree.Tree, arch manifests.Arch) error {
	links := []string{"bin", "sbin", "lib"}
	if arch == manifests.AMD64 {
		links = append(links, "lib32", "lib64", "libx32")
	}
	for _, link := range links {
		if _, there := t.Lookup(link); there {
			continue
		}
		if err := makeFolder(t, "usr/"+link); err != nil {
			return fmt.Errorf("merging %s into /usr: %w", link, err)
		}
		n := &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: "usr/" + link, Source: databaseSource}
		if err := t.Put(link, n); err != nil {
			return fmt.Errorf("merging %s into /usr: %w", link, err)
		}
	}
	return nil
}

// makeFolder makes a directory where there is none.
func makeFolder(t *tree.Tree, path string) error {
	if n, there := t.Resolve(path); there && n.Kind == tree.Directory {
		return nil
	}
	return t.Put(path, &tree.Node{Kind: tree.Directory, Mode: 0o755, Source: databaseSource})
}
