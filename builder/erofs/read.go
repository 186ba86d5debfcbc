package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"strings"

	goerofs "github.com/erofs/go-erofs"

	"github.com/proa-os/proa/builder/tree"
)

// Read is the tree in an uncompressed EROFS image, the inverse of Write: also
// of one that other tools made. The contents stay in r. Source is what the
// nodes name as theirs.
//
// Every byte of r is distrusted: directories with two names, names that are
// not in order, contents beyond the image and all that tree.DefaultLimits
// refuse are errors.
func Read(r io.ReaderAt, source string) (t *tree.Tree, err error) {
	// go-erofs takes offsets from the image without checking them all.
	defer func() {
		if v := recover(); v != nil {
			t, err = nil, fmt.Errorf("the image is not consistent: %v", v)
		}
	}()
	size, err := ImageSize(r)
	if err != nil {
		return nil, err
	}
	image, err := goerofs.Open(r)
	if err != nil {
		return nil, err
	}
	i := &importer{image: image, bytes: r, size: size, source: source, tree: tree.New(), nodes: map[int64]*tree.Node{}}
	root, err := fs.Stat(image, ".")
	if err != nil {
		return nil, err
	}
	if err := i.add(".", root); err != nil {
		return nil, err
	}
	return i.tree, nil
}

// ErrNotImage says that there is no superblock of an EROFS image.
var ErrNotImage = errors.New("not an EROFS image")

// ImageSize is the size in bytes that an image's superblock claims, if r is as
// long; what follows in r, such as the rest of a partition, does not count. The
// error is ErrNotImage when r holds something else.
func ImageSize(r io.ReaderAt) (int64, error) {
	super := make([]byte, 128)
	if _, err := r.ReadAt(super, sbOffset); err != nil {
		return 0, fmt.Errorf("%w: reading superblock: %w", ErrNotImage, err)
	}
	if got := binary.LittleEndian.Uint32(super); got != magic {
		return 0, fmt.Errorf("%w: superblock has magic %#x: want %#x", ErrNotImage, got, uint32(magic))
	}
	const blockBits = 12 // uint8
	if bits := super[blockBits]; bits < 9 || bits > 16 {
		return 0, fmt.Errorf("blocks of 2^%d bytes: want 2^9 to 2^16", bits)
	}
	size := int64(binary.LittleEndian.Uint32(super[sbBlocks-sbOffset:])) << super[blockBits]
	if size == 0 {
		return 0, errors.New("an image of 0 blocks")
	}
	if _, err := r.ReadAt(super[:1], size-1); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("reading the last of %d bytes: %w", size, err)
	} else if err != nil {
		return 0, fmt.Errorf("the image ends before the %d bytes that its superblock claims", size)
	}
	return size, nil
}

// importer reads one image.
type importer struct {
	image       fs.FS
	bytes       io.ReaderAt
	size        int64 // of the image
	directories int64 // bytes of the directories read
	source      string
	tree        *tree.Tree
	nodes       map[int64]*tree.Node // by inode number
}

// add puts what is at path into the tree, a directory with all below it.
func (i *importer) add(path string, info fs.FileInfo) error {
	stat, err := StatOf(info)
	if err != nil {
		return err
	}
	if stat.Mode.Type() != info.Mode().Type() {
		return fmt.Errorf("%.200q: its directory says %v, its inode %v", path, info.Mode().Type(), stat.Mode.Type())
	}
	if n, again := i.nodes[stat.Ino]; again {
		if n.Kind == tree.Directory {
			return fmt.Errorf("%.200q: a directory with two names", path)
		}
		return i.tree.Put(path, n)
	}
	n, err := i.node(path, info, stat)
	if err != nil {
		return fmt.Errorf("%.200q: %w", path, err)
	}
	i.nodes[stat.Ino] = n
	if err := i.tree.Put(path, n); err != nil {
		return err
	}
	if n.Kind != tree.Directory {
		return nil
	}
	// No two directories share blocks, so all together they fit into the image.
	if stat.Size < 0 || stat.Size > i.size-i.directories {
		return fmt.Errorf("%.200q: a directory of %d bytes, more than the image has", path, stat.Size)
	}
	i.directories += stat.Size
	if err := i.addChildren(path, stat.Ino); err != nil {
		return err
	}
	return nil
}

func (i *importer) addChildren(path string, inode int64) error {
	file, err := i.image.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("%.200q: %w", path, err)
	}
	if stat, err := StatOf(info); err != nil || stat.Ino != inode {
		return fmt.Errorf("%.200q: found as another inode than its directory lists", path)
	}
	dir, ok := file.(fs.ReadDirFile)
	if !ok {
		return fmt.Errorf("%.200q: not a directory", path)
	}
	last := ""
	for {
		const atOnce = 512 // so that a directory's size bounds no allocation
		entries, err := dir.ReadDir(atOnce)
		for _, entry := range entries {
			if entry.Name() <= last || strings.Contains(entry.Name(), "/") {
				return fmt.Errorf("%.200q: name %.200q after %.200q: want names in order, without slashes", path, entry.Name(), last)
			}
			last = entry.Name()
			info, err := entry.Info()
			if err != nil {
				return fmt.Errorf("%.200q in %.200q: %w", last, path, err)
			}
			child := last
			if path != "." {
				child = path + "/" + last
			}
			if err := i.add(child, info); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(entries) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%.200q: %w", path, err)
		}
	}
}

func (i *importer) node(path string, info fs.FileInfo, stat Stat) (*tree.Node, error) {
	n := &tree.Node{Mode: uint32(stat.Mode.Perm()), UID: stat.UID, GID: stat.GID, Source: i.source}
	if len(stat.Xattrs) > 0 {
		n.Xattrs = stat.Xattrs
	}
	for bit, mode := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if stat.Mode&bit != 0 {
			n.Mode |= mode
		}
	}
	var err error
	switch stat.Mode.Type() {
	case 0:
		n.Content, err = i.content(info, stat)
	case fs.ModeDir:
		n.Kind = tree.Directory
	case fs.ModeSymlink:
		n.Kind = tree.Symlink
		n.Target, err = fs.ReadLink(i.image, path)
	case fs.ModeDevice | fs.ModeCharDevice:
		n.Kind, n.Device = tree.CharDevice, decodeDevice(stat.Rdev)
	case fs.ModeDevice:
		n.Kind, n.Device = tree.BlockDevice, decodeDevice(stat.Rdev)
	case fs.ModeNamedPipe:
		n.Kind = tree.FIFO
	case fs.ModeSocket:
		n.Kind = tree.Socket
	default:
		err = fmt.Errorf("mode %v: of no kind that is known", stat.Mode)
	}
	return n, err
}

// decodeDevice is new_decode_dev of the kernel's include/linux/kdev_t.h.
func decodeDevice(d uint32) tree.Device {
	return tree.Device{Major: d >> 8 & 0xfff, Minor: d&0xff | d>>12&0xfff00}
}

// content refers to where a file lies in the image.
func (i *importer) content(info fs.FileInfo, stat Stat) (tree.Content, error) {
	if stat.Size == 0 {
		return tree.Content{}, nil
	}
	lies, ok := info.(interface{ DataRange() []goerofs.DataRange })
	if !ok {
		return tree.Content{}, errors.New("go-erofs does not say where the content is")
	}
	ranges := lies.DataRange()
	if len(ranges) == 0 {
		return tree.Content{}, fmt.Errorf("content of layout %d: want plain, inline or chunks with indexes", stat.InodeLayout)
	}
	var sum int64
	ends := make([]int64, len(ranges))
	for k, r := range ranges {
		switch {
		case r.Device != 0:
			return tree.Content{}, errors.New("content on another device")
		case r.Size <= 0 || r.Size > stat.Size-sum:
			return tree.Content{}, fmt.Errorf("%d bytes at %d of a content of %d", r.Size, sum, stat.Size)
		case r.Offset >= 0 && (r.Offset > i.size || r.Size > i.size-r.Offset), r.Offset < -1:
			return tree.Content{}, fmt.Errorf("%d bytes of content at byte %d of an image of %d", r.Size, r.Offset, i.size)
		}
		sum += r.Size
		ends[k] = sum
	}
	if sum != stat.Size {
		return tree.Content{}, fmt.Errorf("content of %d bytes with places for %d", stat.Size, sum)
	}
	if len(ranges) == 1 && ranges[0].Offset >= 0 {
		return tree.Content{At: i.bytes, Offset: ranges[0].Offset, Size: stat.Size}, nil
	}
	return tree.Content{At: &pieces{i.bytes, ranges, ends}, Size: stat.Size}, nil
}

// pieces is a content that lies in several places; one with the offset -1 is
// a hole.
type pieces struct {
	bytes  io.ReaderAt
	ranges []goerofs.DataRange
	ends   []int64 // of each range, in the content
}

// ReadAt implements io.ReaderAt.
func (p *pieces) ReadAt(b []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("read at %d: want 0 or more", offset)
	}
	first := sort.Search(len(p.ends), func(k int) bool { return p.ends[k] > offset })
	n := 0
	for k := first; k < len(p.ranges) && n < len(b); k++ {
		r := p.ranges[k]
		into := offset - (p.ends[k] - r.Size)
		part := b[n:min(int64(len(b)), int64(n)+r.Size-into)]
		if r.Offset < 0 {
			clear(part)
		} else if got, err := p.bytes.ReadAt(part, r.Offset+into); got < len(part) {
			return n + got, err
		}
		n, offset = n+len(part), offset+int64(len(part))
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
