package diskimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/progress"
)

const (
	pieceSize = 1 << 20
	blockSize = 4096
)

var zeroBlock [blockSize]byte

// copyAt copies size bytes of s from the offset from to the offset to of dst,
// a file in which that place is still a hole. Holes and zeros of the source
// stay holes.
func copyAt(ctx context.Context, dst *os.File, to int64, s Source, from, size int64, step progress.Step) error {
	if src, ok := s.Reader.(*os.File); ok {
		done, err := copyInKernel(ctx, dst, to, src, from, size, step)
		if !errors.Is(err, errNotInKernel) {
			return err
		}
		to, from, size = to+done, from+done, size-done
	}
	piece := make([]byte, pieceSize)
	for done := int64(0); done < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := piece[:min(pieceSize, size-done)]
		if n, err := s.Reader.ReadAt(p, from+done); n < len(p) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading byte %d of %d: %w", from+done+int64(n), from+size, err)
		}
		if err := writeSparse(dst, p, to+done); err != nil {
			return err
		}
		done += int64(len(p))
		step.Add(int64(len(p)))
	}
	return nil
}

// writeSparse writes p without its blocks of zeros.
func writeSparse(dst io.WriterAt, p []byte, at int64) error {
	for begin := 0; begin < len(p); {
		if isZero(p[begin:min(begin+blockSize, len(p))]) {
			begin = min(begin+blockSize, len(p))
			continue
		}
		end := begin
		for end < len(p) && !isZero(p[end:min(end+blockSize, len(p))]) {
			end = min(end+blockSize, len(p))
		}
		if _, err := dst.WriteAt(p[begin:end], at+int64(begin)); err != nil {
			return err
		}
		begin = end
	}
	return nil
}

func isZero(block []byte) bool { return bytes.Equal(block, zeroBlock[:len(block)]) }

// errNotInKernel says that the kernel cannot copy between these two files.
var errNotInKernel = errors.New("not copied by the kernel")

// copyInKernel shares or copies the data of src without moving it through this
// process, and passes over the holes of src. It returns how much it did before
// it found that it cannot.
func copyInKernel(ctx context.Context, dst *os.File, to int64, src *os.File, from, size int64, step progress.Step) (int64, error) {
	const most = 32 << 20 // so that ctx is looked at
	in, out := int(src.Fd()), int(dst.Fd())
	position, end := from, from+size
	for position < end {
		data, err := unix.Seek(in, position, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			data, err = end, nil // holes to the end
			if info, statErr := src.Stat(); statErr != nil || info.Size() < end {
				return position - from, fmt.Errorf("reading %s: %w", src.Name(), io.ErrUnexpectedEOF)
			}
		}
		if err != nil {
			return position - from, errNotInKernel
		}
		data = min(data, end)
		step.Add(data - position)
		position = data
		hole, err := unix.Seek(in, position, unix.SEEK_HOLE)
		if err != nil {
			hole = end
		}
		for hole = min(hole, end); position < hole; {
			if err := ctx.Err(); err != nil {
				return position - from, err
			}
			inAt, outAt := position, to+position-from
			n, err := unix.CopyFileRange(in, &inAt, out, &outAt, int(min(most, hole-position)), 0)
			switch {
			case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
				continue
			case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EIO) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG):
				return position - from, fmt.Errorf("copying %s: %w", src.Name(), err)
			case err != nil:
				return position - from, errNotInKernel
			case n == 0:
				return position - from, fmt.Errorf("reading %s: %w", src.Name(), io.ErrUnexpectedEOF)
			}
			position += int64(n)
			step.Add(int64(n))
		}
	}
	return size, nil
}
