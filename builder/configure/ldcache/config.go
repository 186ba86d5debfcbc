package ldcache

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

const (
	maxConfig   = 1 << 20
	maxIncludes = 16 // deep
	maxFolders  = 4096
	maxConfigs  = 4096
	maxLooked   = 4 << 20 // names that patterns are held against
)

// folder is one that libraries are looked for in.
type folder struct {
	path   string // as it is written, which is how the cache has it
	hwcaps string // the name of a glibc-hwcaps subdirectory
}

// readConfig reads a file like ld.so.conf (ldconfig(8)): a folder a line, or
// "include" and patterns.
func (c *cache) readConfig(at string, depth int) error {
	data, err := c.tree.ReadFile(at, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// What is read again adds no folder.
	if c.read[at] {
		return nil
	}
	if c.read[at] = true; len(c.read) > maxConfigs {
		return fmt.Errorf("%s: more than %d files", at, maxConfigs)
	}
	if depth > maxIncludes {
		return fmt.Errorf("%s: more than %d files include each other", at, maxIncludes)
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.EqualFold(words[0], "hwcap"):
		case words[0] == "include":
			for _, pattern := range words[1:] {
				if err := c.include(pattern, at, depth); err != nil {
					return err
				}
			}
		default:
			name, _, _ := strings.Cut(line, "=")
			c.addFolder(strings.TrimRight(strings.TrimSpace(name), "/"))
		}
		if len(c.folders) > maxFolders {
			return fmt.Errorf("%s: more than %d folders", at, maxFolders)
		}
	}
	return nil
}

// include reads what matches a pattern, whose last name alone may have
// wildcards.
func (c *cache) include(pattern, from string, depth int) error {
	if !strings.HasPrefix(pattern, "/") {
		pattern = path.Join("/", path.Dir(from), pattern)
	}
	in, last := path.Split(pattern)
	names, err := c.tree.Children(relative(in))
	if err != nil {
		return nil // there is nothing to include
	}
	if c.looked += len(names) + 1; c.looked > maxLooked {
		return fmt.Errorf("%s: its patterns look at more than %d names", from, maxLooked)
	}
	for _, name := range names {
		hidden := strings.HasPrefix(name, ".") && !strings.HasPrefix(last, ".")
		if ok, err := path.Match(last, name); err != nil || !ok || hidden {
			continue
		}
		at := path.Join(relative(in), name)
		if n, ok := c.tree.Resolve(at); !ok || n.Kind != tree.File {
			continue
		}
		if err := c.readConfig(at, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func relative(at string) string {
	at = strings.TrimPrefix(path.Clean("/"+at), "/")
	if at == "" {
		return "."
	}
	return at
}

// addFolder adds a folder if it exists and is not there under another name,
// with its glibc-hwcaps subdirectories.
func (c *cache) addFolder(at string) {
	if !strings.HasPrefix(at, "/") || !c.add(&folder{path: at}) {
		return
	}
	names, err := c.tree.Children(relative(at + "/glibc-hwcaps"))
	if err != nil {
		return
	}
	for _, name := range names {
		if !strings.HasPrefix(name, ".") && !strings.Contains(name, ":") {
			c.add(&folder{path: at + "/glibc-hwcaps/" + name, hwcaps: name})
		}
	}
}

func (c *cache) add(f *folder) bool {
	n, ok := c.tree.Resolve(relative(f.path))
	if !ok || n.Kind != tree.Directory || c.seen[n] != nil {
		return false
	}
	c.seen[n] = f
	c.folders = append(c.folders, f)
	return true
}
