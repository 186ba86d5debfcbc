package grubenv

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/proa-os/proa/updater/hostfs"
)

// ErrMoves is wrapped by the error of a change that would not stay within the
// first sector.
var ErrMoves = errors.New("more than the first sector would change")

// File is a block in a file.
type File struct {
	FS   hostfs.FS
	Path string
}

// Read reads the block.
func (f File) Read() (*Block, error) {
	raw, err := hostfs.ReadFile(f.FS, f.Path, Size)
	if err != nil {
		return nil, err
	}
	b, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return b, nil
}

// Write overwrites the first sector of the file with that of b in one write,
// syncs it, and reads it back from the medium: a power cut leaves the old
// block or the new one. When the second sector is another in b, it writes nothing
// and returns an ErrMoves. A block that is in the file already is written
// all the same: it may be in the cache alone, where a killed process left it.
func (f File) Write(b *Block) error {
	before, err := f.Read()
	if err != nil {
		return err
	}
	want := b.Bytes()
	if !bytes.Equal(before.Bytes()[SectorSize:], want[SectorSize:]) {
		return fmt.Errorf("%s: %w", f.Path, ErrMoves)
	}
	if err := f.write(want[:SectorSize]); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	back, err := hostfs.ReadFile(f.FS, f.Path, Size)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, want) {
		return fmt.Errorf("%s: the boot partition did not keep what was written", f.Path)
	}
	return nil
}

func (f File) write(sector []byte) error {
	file, err := f.FS.OpenWritable(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(sector, 0); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Drop(0, Size)
}
