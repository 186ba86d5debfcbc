// Package filemap says where the contents of files lie in a root image: root.map,
// which a build makes and a publisher reads, to cut the image where files begin and
// to pair files of two releases. A build reads it, too, to lay out an image as the
// previous one was. Hosts do not need it.
//
// The format is described in docs/reference/release.md.
package filemap

// Extent is the content of one file that has blocks of its own.
type Extent struct {
	Offset int64  // in the image, bytes: a multiple of 4096
	Size   int64  // bytes of content, more than 0; zeros fill its last block
	Path   string // of the file, without a leading slash: of several links the first in order
}

// Map is the extents of an image by offset, without overlaps. What lies between
// them and behind the last is the file system's own: superblock, inodes, folders,
// and the contents that are stored beside their inodes.
type Map []Extent

// Append appends the map as Parse reads it, without inodes.
func (m Map) Append(to []byte) []byte {
	layout := make(Layout, len(m))
	for i, e := range m {
		layout[i].Extent = e
	}
	return layout.Append(to)
}

// Parse reads the extents of a root.map. Whatever is not exactly what
// Layout.Append writes is an error.
func Parse(data []byte) (Map, error) {
	layout, err := ParseLayout(data)
	if err != nil {
		return nil, err
	}
	return layout.Map(), nil
}

// Node is one inode of an image.
type Node struct {
	Extent // Offset and Size are 0 where the inode has no blocks of its own
	// Number is the inode's, and so its place: it counts slots of 32 bytes. 0
	// where it is not known.
	Number int64
	Slots  int // that the inode fills, with all that is stored beside it; 0 where Number is
}

// Layout is all of a root.map: first the inodes with blocks of their own, by
// offset, then the others, by number.
type Layout []Node

// Map is the extents of the layout.
func (l Layout) Map() Map {
	m := make(Map, 0, len(l))
	for _, n := range l {
		if n.Size == 0 {
			break
		}
		m = append(m, n.Extent)
	}
	return m
}
