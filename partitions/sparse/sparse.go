// Package sparse reads files with holes without asking the kernel for the
// holes' zeros, which would fill the page cache with them.
package sparse

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Reader reads a file from its first byte to the size that it had when the
// Reader was made. Where the file system does not know of holes, it reads
// everything.
type Reader struct {
	file     *os.File
	position int64
	size     int64
	data     int64 // the data that position is in or before: from here
	hole     int64 // to here; both are unknown while hole <= position
}

// NewReader returns a Reader over file, whose own position it does not mind.
func NewReader(file *os.File) (*Reader, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return &Reader{file: file, size: info.Size()}, nil
}

// Size is the bytes that the Reader gives in all.
func (r *Reader) Size() int64 { return r.size }

// Read implements io.Reader. A file that has become shorter is an
// io.ErrUnexpectedEOF.
func (r *Reader) Read(p []byte) (int, error) {
	if r.position >= r.size {
		return 0, io.EOF
	}
	if n := r.skip(int64(len(p))); n > 0 {
		clear(p[:n])
		return int(n), nil
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), r.hole-r.position)], r.position)
	r.position += int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
		if n == 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// skip passes over at most most bytes of the hole that the position is in, and
// returns how many; 0 where there is none.
func (r *Reader) skip(most int64) int64 {
	if r.position >= r.size {
		return 0
	}
	if r.position >= r.hole {
		r.locate()
	}
	n := max(0, min(most, r.data-r.position))
	r.position += n
	return n
}

// locate finds the next run of data from position on.
func (r *Reader) locate() {
	fd := int(r.file.Fd())
	data, err := unix.Seek(fd, r.position, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		r.data, r.hole = r.size, r.size
		return
	case err != nil:
		r.data, r.hole = r.position, r.size
		return
	}
	hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
	if err != nil {
		hole = r.size
	}
	r.data, r.hole = min(data, r.size), min(hole, r.size)
}
