package diskimage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/diskfs/go-diskfs/backend"
)

// memory is the storage that go-diskfs writes to: a file in memory that keeps
// only its blocks that are not zero.
type memory struct {
	size   int64
	blocks map[int64]*[blockSize]byte // by offset / blockSize
}

var _ backend.Storage = (*memory)(nil)
var _ backend.WritableFile = (*memory)(nil)

func newMemory(size int64) *memory {
	return &memory{size: size, blocks: map[int64]*[blockSize]byte{}}
}

// ReadAt implements io.ReaderAt.
func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) && off < m.size {
		within := off % blockSize
		n := min(int64(len(p)-done), blockSize-within, m.size-off)
		if block := m.blocks[off/blockSize]; block != nil {
			copy(p[done:], block[within:within+n])
		} else {
			clear(p[done : done+int(n)])
		}
		done, off = done+int(n), off+n
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// WriteAt implements io.WriterAt.
func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > m.size {
		return 0, errors.New("write beyond the end of the partition")
	}
	for done := 0; done < len(p); {
		within := off % blockSize
		n := int(min(int64(len(p)-done), blockSize-within))
		part := p[done : done+n]
		block := m.blocks[off/blockSize]
		if block == nil && !isZero(part) {
			block = new([blockSize]byte)
			m.blocks[off/blockSize] = block
		}
		if block != nil {
			copy(block[within:], part)
		}
		done, off = done+n, off+int64(n)
	}
	return len(p), nil
}

// writeTo writes the blocks that are not zero at their places after the offset
// start of dst.
func (m *memory) writeTo(dst io.WriterAt, start int64) error {
	numbers := make([]int64, 0, len(m.blocks))
	for number := range m.blocks {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		at := number * blockSize
		block := m.blocks[number][:min(blockSize, m.size-at)]
		if isZero(block) {
			continue
		}
		if _, err := dst.WriteAt(block, start+at); err != nil {
			return err
		}
	}
	return nil
}

// Writable implements backend.Storage.
func (m *memory) Writable() (backend.WritableFile, error) { return m, nil }

// Path implements backend.Storage.
func (m *memory) Path() string { return "" }

// Close implements backend.Storage.
func (m *memory) Close() error { return nil }

// Sys implements backend.Storage.
func (m *memory) Sys() (*os.File, error) { return nil, errors.ErrUnsupported }

// Stat implements backend.Storage.
func (m *memory) Stat() (fs.FileInfo, error) { return nil, errors.ErrUnsupported }

// Read implements backend.Storage.
func (m *memory) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// Seek implements backend.Storage.
func (m *memory) Seek(int64, int) (int64, error) { return 0, errors.ErrUnsupported }
