package fat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Entry is a file or folder.
type Entry struct {
	Path   string // from the root, with slashes, in the case it was written in
	Folder bool
	Size   int64 // bytes; 0 for folders
	At     int64 // place of its folder entry, in bytes from the start of the file system

	first  uint32
	parent uint32 // first cluster of the folder it is in; 0 for the root, as ".." has it
}

// List lists every file and folder, each folder before what is in it. A folder
// that can be reached twice, a file outside the volume, or a name that two
// entries of a folder share is an error.
func (f *FileSystem) List() ([]Entry, error) {
	var all []Entry
	seen := map[uint32]string{f.root: "/"}
	var walk func(folder string, first, number uint32, depth int) error
	walk = func(folder string, first, number uint32, depth int) error {
		if depth > mostDepth {
			return fmt.Errorf("folder %s: deeper than %d folders", folder, mostDepth)
		}
		records, err := f.readFolder(first)
		if err != nil {
			return fmt.Errorf("folder /%s: %w", folder, err)
		}
		if err := checkNames(records); err != nil {
			return fmt.Errorf("folder /%s: %w", folder, err)
		}
		for _, r := range records {
			if r.label() || r.dots() {
				continue
			}
			if len(all) == mostEntries {
				return fmt.Errorf("more than %d files and folders", mostEntries)
			}
			entry := Entry{Path: path.Join(folder, r.name()), Folder: r.folder(), At: r.at, first: r.first, parent: number}
			if !entry.Folder {
				entry.Size = int64(r.size)
			}
			all = append(all, entry)
			if !entry.Folder {
				continue
			}
			if other, ok := seen[r.first]; ok {
				return fmt.Errorf("folder /%s is the same as %s", entry.Path, other)
			}
			seen[r.first] = "/" + entry.Path
			if err := walk(entry.Path, r.first, r.first, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return all, walk("", f.root, 0, 1)
}

// checkNames refuses two entries that answer to one name: which of them is
// meant would depend on who looks.
func checkNames(records []record) error {
	taken := map[string]int{}
	for i, r := range records {
		if r.label() {
			continue
		}
		for _, name := range []string{r.short, r.long} {
			name = strings.ToUpper(name)
			if other, ok := taken[name]; ok && other != i && name != "" {
				return fmt.Errorf("two entries answer to the name %q", name)
			}
			taken[name] = i
		}
	}
	return nil
}

// Find is the entry with the given path, compared as FAT does without regard
// to case; the error of one that is not there wraps fs.ErrNotExist.
func (f *FileSystem) Find(name string) (Entry, error) {
	all, err := f.List()
	if err != nil {
		return Entry{}, err
	}
	for _, entry := range all {
		if strings.EqualFold(entry.Path, name) {
			return entry, nil
		}
	}
	return Entry{}, fmt.Errorf("file %q: %w", name, fs.ErrNotExist)
}

// Root is the root folder, which List leaves out.
func (f *FileSystem) Root() Entry { return Entry{Folder: true, first: f.root} }

// Extents are the places of the bytes of a file in their order, which end with
// the file, or those of all the clusters of a folder.
func (f *FileSystem) Extents(entry Entry) ([]Extent, error) {
	if entry.Folder {
		return f.chain(entry.first, -1, mostFolder/f.clusterSize)
	}
	if entry.Size == 0 {
		if entry.first != 0 {
			return nil, fmt.Errorf("%s: cluster %d of an empty file: want none", entry.Path, entry.first)
		}
		return nil, nil
	}
	want := (entry.Size + f.clusterSize - 1) / f.clusterSize
	extents, err := f.chain(entry.first, want, want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", entry.Path, err)
	}
	extents[len(extents)-1].Length -= want*f.clusterSize - entry.Size
	return extents, nil
}

// Open gives a file's content.
func (f *FileSystem) Open(name string) (*io.SectionReader, error) {
	entry, err := f.Find(name)
	if err != nil {
		return nil, err
	}
	if entry.Folder {
		return nil, fmt.Errorf("%s: is a folder", entry.Path)
	}
	extents, err := f.Extents(entry)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(&content{f.r, extents}, 0, entry.Size), nil
}

// ReadFile is a file's whole content; one of more than limit bytes is an
// error.
func (f *FileSystem) ReadFile(name string, limit int64) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	if file.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes: want at most %d", name, file.Size(), limit)
	}
	raw := make([]byte, file.Size())
	if _, err := io.ReadFull(file, raw); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return raw, nil
}

// content reads a file by its extents.
type content struct {
	r       io.ReaderAt
	extents []Extent
}

func (c *content) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for _, extent := range c.extents {
		if off >= extent.Length {
			off -= extent.Length
			continue
		}
		n := int(min(int64(len(p)-done), extent.Length-off))
		got, err := c.r.ReadAt(p[done:done+n], extent.Offset+off)
		done += got
		if got < n {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return done, err
		}
		if off = 0; done == len(p) {
			return done, nil
		}
	}
	return done, io.EOF
}
