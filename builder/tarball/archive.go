package tarball

import (
	"bytes"
	"errors"
	"io"
)

const block = 512

// archive is the bytes of a tar archive, read from the front.
type archive struct {
	r  io.Reader   // *window when at is not nil
	at io.ReaderAt // where the bytes stay readable; nil for a stream
	n  int64       // bytes that have been read or passed over

	size int64 // of the file that at reads

	inHeaders bool  // what is read is headers and padding, not contents
	zerosEnd  int64 // n after the last header block that was zeros
}

// ended reports whether reading stopped at the end mark, which is two blocks
// of zeros; like GNU tar, proa is content with one.
func (a *archive) ended() bool { return a.zerosEnd > 0 && a.n-a.zerosEnd <= block }

// Read implements io.Reader.
func (a *archive) Read(p []byte) (int, error) {
	if len(p) > block {
		n, err := a.r.Read(p)
		a.n += int64(n)
		return n, err
	}
	n, err := io.ReadFull(a.r, p)
	a.n += int64(n)
	if a.inHeaders && n == block && bytes.Equal(p, zeros[:]) {
		a.zerosEnd = a.n
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

var zeros [block]byte

// seekable is an archive in a window, whose contents archive/tar seeks over.
type seekable struct{ *archive }

// Seek implements io.Seeker as far as archive/tar needs it.
func (s seekable) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 || s.n+offset < s.n {
		return 0, errors.New("a tar archive can only be read forwards")
	}
	s.n += offset
	s.r.(*window).n = s.n
	return s.n, nil
}

// window reads a file a few blocks at once, since tar headers are read in
// pieces of 512 bytes.
type window struct {
	at     io.ReaderAt
	n      int64  // the position
	buffer []byte // what is at start
	start  int64
}

const windowSize = 4 << 10

func inPlace(at io.ReaderAt, size int64) *archive {
	return &archive{r: &window{at: at, buffer: make([]byte, 0, windowSize)}, at: at, size: size}
}

// Read implements io.Reader.
func (w *window) Read(p []byte) (int, error) {
	if len(p) >= windowSize {
		n, err := w.at.ReadAt(p, w.n)
		w.n += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	}
	if w.n < w.start || w.n >= w.start+int64(len(w.buffer)) {
		n, err := w.at.ReadAt(w.buffer[:windowSize], w.n)
		w.buffer, w.start = w.buffer[:n], w.n
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, w.buffer[w.n-w.start:])
	w.n += int64(n)
	return n, nil
}
