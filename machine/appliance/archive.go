package appliance

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
)

// archive is an index of a plain tar archive.
type archive struct {
	file    *os.File
	entries map[string]archived
}

// archived is where a file's content is.
type archived struct {
	offset, size int64
	link         string // the path of another entry, when this one is a link to it
}

// readArchive reads the headers of f and remembers where the contents are.
func readArchive(f *os.File) (*archive, error) {
	a := &archive{file: f, entries: map[string]archived{}}
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			at, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			a.entries[name] = archived{offset: at, size: h.Size}
		case tar.TypeLink:
			a.entries[name] = archived{link: path.Clean(h.Linkname)}
		case tar.TypeSymlink:
			target := h.Linkname
			if !path.IsAbs(target) {
				target = path.Join("/", path.Dir(name), target)
			}
			a.entries[name] = archived{link: path.Clean(target)[1:]}
		}
	}
}

// read returns the content of a file, through links to files.
func (a *archive) read(name string) ([]byte, error) {
	at := name
	for range 10 {
		e, ok := a.entries[at]
		if !ok {
			return nil, fmt.Errorf("%s: no such file in the archive", name)
		}
		if e.link != "" {
			at = e.link
			continue
		}
		content := make([]byte, e.size)
		_, err := a.file.ReadAt(content, e.offset)
		return content, err
	}
	return nil, fmt.Errorf("%s: too many links", name)
}

// match returns the names that match a pattern of path.Match, sorted.
func (a *archive) match(pattern string) []string {
	var names []string
	for name := range a.entries {
		if ok, _ := path.Match(pattern, name); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
