// Package filemap says where the contents of files lie in a root image: root.map,
// which a build makes and a publisher reads, to cut the image where files begin and
// to pair files of two releases. Hosts do not need it.
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
