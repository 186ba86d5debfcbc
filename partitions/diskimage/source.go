package diskimage

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// Source is content of a known length. Where the reader is an *os.File, the
// kernel copies, and holes stay holes.
type Source struct {
	Reader io.ReaderAt
	Size   int64 // bytes
}

// InMemory is bytes as a source.
func InMemory(content []byte) Source { return Source{bytes.NewReader(content), int64(len(content))} }

// FileSource is a file as a source, open until it is closed.
type FileSource struct {
	Source
	file *os.File
}

// OpenSource opens a file as a source.
func OpenSource(path string) (FileSource, error) {
	file, err := os.Open(path)
	if err != nil {
		return FileSource{}, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		file.Close()
		return FileSource{}, fmt.Errorf("%s: %w", path, err)
	}
	return FileSource{Source{file, size}, file}, nil
}

// Close closes the file.
func (s FileSource) Close() error { return s.file.Close() }
