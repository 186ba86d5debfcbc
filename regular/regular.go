// Package regular opens and reads what has to be a regular file: no folder, no
// device, and no FIFO, whose opening would wait for a writer.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ErrKind is wrapped by the error of a file of another kind.
var ErrKind = errors.New("want a regular file")

// Flags open a file for reading without waiting for anybody.
const Flags = os.O_RDONLY | syscall.O_NONBLOCK

// Open opens the file at path. The size and mode are those of what was opened.
func Open(path string) (*os.File, fs.FileInfo, error) {
	return Check(os.OpenFile(path, Flags, 0))
}

// Check is for what was just opened with Flags in another way. It closes what is
// not a regular file.
func Check(file *os.File, err error) (*os.File, fs.FileInfo, error) {
	return check(file, err, fs.FileMode.IsRegular)
}

// OpenDisk is Open, which takes a block device, too.
func OpenDisk(path string) (*os.File, fs.FileInfo, error) {
	file, err := os.OpenFile(path, Flags, 0)
	return check(file, err, func(m fs.FileMode) bool { return m.IsRegular() || m.Type() == fs.ModeDevice })
}

func check(file *os.File, err error, accepts func(fs.FileMode) bool) (*os.File, fs.FileInfo, error) {
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !accepts(info.Mode()) {
		err = fmt.Errorf("%s: %w", file.Name(), ErrKind)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// Read reads the file at path, which must have at most most bytes.
func Read(path string, most int64) ([]byte, error) {
	file, _, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: want at most %d bytes", path, most)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}
