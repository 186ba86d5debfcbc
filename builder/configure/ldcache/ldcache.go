// Package ldcache makes etc/ld.so.cache, the dynamic linker's index of shared
// libraries, as ldconfig(8) makes it, byte for byte that of glibc 2.36: in the
// format "glibc-ld.so.cache1.1", with the extension that names glibc-hwcaps
// subdirectories. Like ldconfig it makes the links from a library's soname
// that are missing and takes away those of libraries that are gone.
//
// It knows x86-64 (with i386 and x32) and aarch64 (with arm). A tree without
// their dynamic linker, such as one with musl, stays as it is. The
// subdirectories that glibc before 2.37 also looked at (tls, haswell) do not
// count.
package ldcache

import (
	"bytes"
	"context"
	"fmt"
	"regexp"

	"github.com/proa-os/proa/builder/tree"
)

// family is a kind of machines whose libraries one dynamic linker's cache has.
type family struct {
	linker  string // its path says that glibc is there
	triplet string // of Debian's folders
	flags   func(o *object) (flags uint32, ok bool)
}

var families = [...]family{
	{"lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu", x86Flags},
	{"lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu", armFlags},
}

// Write makes etc/ld.so.cache; source is that of the files and links it makes.
func Write(ctx context.Context, t *tree.Tree, source string) error {
	for _, f := range families {
		if n, ok := t.Resolve(f.linker); !ok || n.Kind != tree.File {
			continue
		}
		c := &cache{tree: t, source: source, family: f, seen: map[*tree.Node]*folder{}, read: map[string]bool{}}
		if err := c.write(ctx); err != nil {
			return fmt.Errorf("index of shared libraries: %w", err)
		}
		return nil
	}
	return nil
}

// cache is made folder by folder.
type cache struct {
	tree    *tree.Tree
	source  string
	family  family
	folders []*folder
	seen    map[*tree.Node]*folder
	read    map[string]bool // configuration files
	looked  int
	entries []entry
}

func (c *cache) write(ctx context.Context) error {
	if err := c.readConfig("etc/ld.so.conf", 0); err != nil {
		return err
	}
	for _, at := range c.builtIn() {
		c.addFolder(at)
	}
	for _, f := range c.folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.search(f); err != nil {
			return err
		}
	}
	generator, err := c.generator()
	if err != nil {
		return err
	}
	data, err := encode(c.entries, generator)
	if err != nil {
		return err
	}
	return c.tree.Put("etc/ld.so.cache", &tree.Node{
		Mode: 0o644, Source: c.source, Content: tree.Content{At: bytes.NewReader(data), Size: int64(len(data))},
	})
}

// builtIn are the folders that come after those of ld.so.conf: Debian's glibc
// has other ones than that of everybody else.
func (c *cache) builtIn() []string {
	if _, ok := c.tree.Resolve("usr/lib/" + c.family.triplet + "/libc.so.6"); ok {
		return []string{"/lib/" + c.family.triplet, "/usr/lib/" + c.family.triplet, "/lib", "/usr/lib"}
	}
	return []string{"/lib", "/lib64", "/libx32", "/usr/lib", "/usr/lib64", "/usr/libx32"}
}

const maxProgram = 16 << 20

var generatorText = regexp.MustCompile(`ldconfig \([ -~]{1,100}\) [a-z]{1,20} release version [0-9.]{1,20}`)

// generator is what the tree's own ldconfig would call itself in the cache.
func (c *cache) generator() (string, error) {
	for _, at := range []string{"usr/sbin/ldconfig.real", "sbin/ldconfig.real", "usr/sbin/ldconfig", "sbin/ldconfig", "usr/bin/ldconfig"} {
		n, ok := c.tree.Resolve(at)
		if !ok || n.Kind != tree.File || n.Content.Size > maxProgram {
			continue
		}
		program, err := c.tree.ReadFile(at, maxProgram)
		if err != nil {
			return "", err
		}
		if found := generatorText.Find(program); found != nil {
			return string(found), nil
		}
	}
	return "ldconfig", nil
}
