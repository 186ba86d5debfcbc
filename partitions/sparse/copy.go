package sparse

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Copy makes dst, an empty file, a copy of src, holes as holes; it shares the
// blocks where the file system can. After each piece it calls done with the bytes
// just copied or passed over.
func Copy(ctx context.Context, dst, src *os.File, done func(n int64)) error {
	r, err := NewReader(src)
	if err != nil {
		return err
	}
	if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
		done(r.size)
		return nil
	}
	if err := dst.Truncate(r.size); err != nil {
		return err
	}
	const piece = 4 << 20 // so that ctx is looked at
	for r.position < r.size {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n := r.skip(r.size); n > 0 {
			done(n)
			continue
		}
		n := min(piece, r.hole-r.position)
		if _, err := dst.Seek(r.position, io.SeekStart); err != nil {
			return err
		}
		if _, err := src.Seek(r.position, io.SeekStart); err != nil {
			return err
		}
		copied, err := io.CopyN(dst, src, n)
		r.position += copied
		done(copied)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}
