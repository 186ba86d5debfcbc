package rpm

import (
	"fmt"
	"strings"

	"github.com/proa-os/proa/builder/capabilities"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// What a file is to its package (rpmfileAttrs).
const (
	flagConfig = 1 << 0
	flagGhost  = 1 << 6
)

// The kinds of files in a mode (inode(7)).
const (
	modeType    = 0o170000
	modeSocket  = 0o140000
	modeLink    = 0o120000
	modeRegular = 0o100000
	modeBlock   = 0o060000
	modeDir     = 0o040000
	modeChar    = 0o020000
	modeFIFO    = 0o010000
)

const maxFiles = 1 << 20 // what tree.DefaultLimits allows

// file is one file as the header describes it.
type file struct {
	path        string // relative to the root, clean
	mode        uint64
	size        int64 // bytes
	flags       uint64
	user, group string
	target      string // of a symbolic link
	digest      string // of the contents, in hex
	caps        string // value of security.capability
	device      tree.Device
	set         []*file // all names of a file that has several

	seen    bool         // the payload has it
	content tree.Content // of a file with several names, at the first
}

func (f *file) is(kind uint64) bool { return f.mode&modeType == kind }
func (f *file) ghost() bool         { return f.flags&flagGhost != 0 }

// first is the first name of the file.
func (f *file) first() *file {
	if f.set == nil {
		return f
	}
	return f.set[0]
}

// expected is how many bytes a stripped archive has for the file.
func (f *file) expected() int64 {
	switch {
	case f.is(modeLink):
		return f.size
	case !f.is(modeRegular) || f.set != nil && f.set[len(f.set)-1] != f:
		return 0
	}
	return f.size
}

// readFiles is the header's list of files, in its order.
func readFiles(h *header) ([]*file, error) {
	names, err := h.strings(tagBaseNames)
	if err != nil {
		return nil, err
	}
	if len(names) > maxFiles {
		return nil, fmt.Errorf("it has %d files: want at most %d", len(names), maxFiles)
	}
	if len(names) == 0 {
		return nil, nil
	}
	paths, err := readPaths(h, names)
	if err != nil {
		return nil, err
	}
	c := columns{h: h, n: len(names)}
	sizes := c.numbers(tagLongFileSizes, false)
	if !h.has(tagLongFileSizes) {
		sizes = c.numbers(tagFileSizes, true)
	}
	modes, flags, rdevs := c.numbers(tagFileModes, true), c.numbers(tagFileFlags, true), c.numbers(tagFileRdevs, false)
	users, groups := c.strings(tagFileUsers, true), c.strings(tagFileGroups, true)
	targets, digests, caps := c.strings(tagFileLinks, false), c.strings(tagFileDigests, false), c.strings(tagFileCaps, false)
	inodes, devices := c.numbers(tagFileInodes, false), c.numbers(tagFileDevices, false)
	if c.err != nil {
		return nil, c.err
	}
	files := make([]*file, len(names))
	for i, path := range paths {
		f := &file{
			path: path, mode: modes[i], size: int64(sizes[i]), flags: flags[i], user: users[i], group: groups[i],
			target: targets[i], digest: digests[i],
			// Device numbers of 16 bits, as Linux once had them.
			device: tree.Device{Major: uint32(rdevs[i]>>8) & 0xff, Minor: uint32(rdevs[i]) & 0xff},
		}
		if f.caps, err = capabilities.Value(caps[i]); err == nil {
			err = f.check()
		}
		if err != nil {
			return nil, fmt.Errorf("file %.200q: %w", path, err)
		}
		files[i] = f
	}
	if !h.has(tagFileInodes) {
		return files, nil
	}
	return files, joinHardLinks(files, devices, inodes)
}

// joinHardLinks finds the regular files that have one inode. It has one
// content and one set of metadata, whatever its names.
func joinHardLinks(files []*file, devices, inodes []uint64) error {
	sets := map[[2]uint64][]*file{}
	for i, f := range files {
		if f.is(modeRegular) && !f.ghost() {
			key := [2]uint64{devices[i], inodes[i]}
			sets[key] = append(sets[key], f)
		}
	}
	for i, f := range files {
		set := sets[[2]uint64{devices[i], inodes[i]}]
		if len(set) < 2 || !f.is(modeRegular) || f.ghost() {
			continue
		}
		f.set = set
		first := set[0]
		if first.caps == "" {
			first.caps = f.caps // rpmbuild has them at the name that the spec gave them to
		}
		if f.digest != first.digest || f.size != first.size || f.mode != first.mode || f.user != first.user ||
			f.group != first.group || f.caps != "" && f.caps != first.caps {
			return fmt.Errorf("file %.200q and %.200q are hard links to each other, but differ", first.path, f.path)
		}
	}
	return nil
}

// readPaths joins the names of files with those of their directories.
func readPaths(h *header, names []string) ([]string, error) {
	directories, err := h.strings(tagDirNames)
	if err != nil {
		return nil, err
	}
	c := columns{h: h, n: len(names)}
	index := c.numbers(tagDirIndexes, true)
	if c.err != nil {
		return nil, c.err
	}
	paths, seen, total := make([]string, len(names)), make(map[string]bool, len(names)), 0
	for i, name := range names {
		if index[i] >= uint64(len(directories)) {
			return nil, fmt.Errorf("file %.200q is in directory %d of %d", name, index[i], len(directories))
		}
		directory := directories[index[i]]
		if !strings.HasPrefix(directory, "/") || !strings.HasSuffix(directory, "/") {
			return nil, fmt.Errorf("directory %.200q: want / at its start and end", directory)
		}
		if strings.Contains(name, "/") || name == "" && directory != "/" {
			return nil, fmt.Errorf("file %.200q in %.200q: want a name without /", name, directory)
		}
		if paths[i], err = tree.Clean(directory + name); err != nil {
			return nil, err
		}
		if seen[paths[i]] {
			return nil, fmt.Errorf("file %.200q is there twice", paths[i])
		}
		// The same directory can count for every file.
		const most = 256 << 20
		if total += len(paths[i]); total > most {
			return nil, fmt.Errorf("paths of more than %d bytes", most)
		}
		seen[paths[i]] = true
	}
	return paths, nil
}

func (f *file) check() error {
	switch f.mode & modeType {
	case modeSocket, modeLink, modeRegular, modeBlock, modeDir, modeChar, modeFIFO:
	default:
		return fmt.Errorf("mode %#o is of no kind of file", f.mode)
	}
	switch {
	case f.mode > 0o177777:
		return fmt.Errorf("mode %#o: want at most 0177777", f.mode)
	case f.size < 0:
		return fmt.Errorf("size of %d bytes", uint64(f.size))
	case f.user == "" || f.group == "":
		return fmt.Errorf("owner %q and group %q: want names", f.user, f.group)
	case f.is(modeRegular) && !f.ghost() && f.digest == "":
		return fmt.Errorf("it has no digest")
	case f.is(modeLink) && !f.ghost() && f.target == "":
		return fmt.Errorf("a symbolic link without a target")
	case f.caps != "" && !f.is(modeRegular):
		return fmt.Errorf("it has capabilities, but is not a regular file")
	}
	return nil
}

// node is the file as a tree has it. Owners that are known by name only are
// root until then.
func (f *file) node(source string) *tree.Node {
	n := &tree.Node{Mode: uint32(f.mode & 0o7777), Source: source}
	switch f.mode & modeType {
	case modeRegular:
		n.Kind, n.Content = tree.File, f.content
		if f.caps != "" {
			n.Xattrs = map[string]string{"security.capability": f.caps}
		}
	case modeDir:
		n.Kind = tree.Directory
	case modeLink:
		n.Kind, n.Target, n.Mode = tree.Symlink, f.target, 0o777
	case modeChar:
		n.Kind, n.Device = tree.CharDevice, f.device
	case modeBlock:
		n.Kind, n.Device = tree.BlockDevice, f.device
	case modeFIFO:
		n.Kind = tree.FIFO
	case modeSocket:
		n.Kind = tree.Socket
	}
	return n
}

// entries are the files that the package brings, in the header's order; all
// but the first name of a file are hard links.
func entries(files []*file, source string) []tree.Entry {
	var all []tree.Entry
	for _, f := range files {
		switch {
		case f.ghost():
		case f.first() != f:
			all = append(all, tree.Entry{Path: f.path, Link: f.first().path})
		default:
			all = append(all, tree.Entry{Path: f.path, Node: f.node(source)})
		}
	}
	return all
}

// configAndOwners are the paths of configuration files and the owners that are
// not root and root.
func configAndOwners(files []*file) ([]string, map[string]packages.Owner) {
	var config []string
	owners := map[string]packages.Owner{}
	for _, f := range files {
		if f.flags&flagConfig != 0 {
			config = append(config, f.path)
		}
		if !f.ghost() && (f.user != "root" || f.group != "root") {
			owners[f.path] = packages.Owner{User: f.user, Group: f.group}
		}
	}
	return config, owners
}
