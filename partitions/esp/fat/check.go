package fat

import (
	"bytes"
	"fmt"
	"io"
)

// Check looks at the whole file system as fsck.fat does: every chain ends where
// its file ends, no cluster belongs to two files or to none, every folder has
// its dot entries, and the copies of the table are equal.
func (f *FileSystem) Check() error {
	all, err := f.List()
	if err != nil {
		return err
	}
	owned := make([]bool, f.clusters)
	claim := func(extents []Extent) error {
		for _, extent := range extents {
			first := (extent.Offset - f.dataAt) / f.clusterSize
			last := (extent.Offset + extent.Length - 1 - f.dataAt) / f.clusterSize
			for i := first; i <= last; i++ {
				if owned[i] {
					return fmt.Errorf("cluster %d belongs to two files", i+2)
				}
				owned[i] = true
			}
		}
		return nil
	}
	for _, entry := range append([]Entry{f.Root()}, all...) {
		extents, err := f.Extents(entry)
		if err != nil {
			return err
		}
		if err := claim(extents); err != nil {
			return fmt.Errorf("/%s: %w", entry.Path, err)
		}
		if entry.Folder && entry.first != f.root {
			if err := f.checkDots(entry); err != nil {
				return fmt.Errorf("/%s: %w", entry.Path, err)
			}
		}
	}
	return f.checkTables(owned)
}

// checkDots wants "." and ".." as the first two entries; the ".." of a folder
// in the root has cluster 0 (specification, "Directory Creation").
func (f *FileSystem) checkDots(folder Entry) error {
	records, err := f.readFolder(folder.first)
	if err != nil {
		return err
	}
	for i, want := range []struct {
		name  string
		first uint32
	}{{".", folder.first}, {"..", folder.parent}} {
		if len(records) <= i || records[i].short != want.name || records[i].first != want.first {
			return fmt.Errorf("entry %d of the folder: want %q for cluster %d", i, want.name, want.first)
		}
	}
	return nil
}

// Free counts the free clusters and gives the number of the first one, or 0.
func (f *FileSystem) Free() (count, first uint32, err error) {
	table := tableReader{fs: f}
	for n := f.clusters + 1; n >= 2; n-- {
		next, err := table.next(n)
		if err != nil {
			return 0, 0, err
		}
		if next == 0 {
			count, first = count+1, n
		}
	}
	return count, first, nil
}

// checkTables compares the copies, and wants every cluster without an owner to
// be free.
func (f *FileSystem) checkTables(owned []bool) error {
	table := tableReader{fs: f}
	for i, owned := range owned {
		next, err := table.next(uint32(i + 2))
		if err != nil {
			return err
		}
		if !owned && next != 0 && next != 0x0ffffff7 {
			return fmt.Errorf("cluster %d is in use but belongs to no file", i+2)
		}
	}
	if f.tables == 1 {
		return nil
	}
	one, two := make([]byte, 1<<16), make([]byte, 1<<16)
	first := io.NewSectionReader(f.r, f.tableAt, f.tableSize)
	second := io.NewSectionReader(f.r, f.tableAt+f.tableSize, f.tableSize)
	for at := int64(0); at < f.tableSize; at += int64(len(one)) {
		n := min(int64(len(one)), f.tableSize-at)
		for _, part := range []struct {
			r io.ReaderAt
			p []byte
		}{{first, one}, {second, two}} {
			if got, err := part.r.ReadAt(part.p[:n], at); int64(got) < n {
				return fmt.Errorf("reading the allocation table: %w", err)
			}
		}
		if !bytes.Equal(one[:n], two[:n]) {
			return fmt.Errorf("the two copies of the allocation table differ within %d bytes from byte %d", n, at)
		}
	}
	return nil
}
