package diskimage

import (
	"fmt"
	"io"
	"os"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/esp/fat"
	"github.com/proa-os/proa/partitions/gpt"
)

// Image is a disk image or disk that is open for reading. What it reads is
// checked as foreign bytes are.
type Image struct {
	Table gpt.Table

	file *os.File
}

// Open opens a disk image or disk and reads its table.
func Open(path string) (*Image, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	table, err := gpt.ReadDisk(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("disk image %s: %w", path, err)
	}
	return &Image{Table: table, file: file}, nil
}

// Close closes the image.
func (i *Image) Close() error { return i.file.Close() }

// Partition gives the content of the partition with the given role.
func (i *Image) Partition(role partitions.Role) (*io.SectionReader, error) {
	p, ok := i.Table.Find(role)
	if !ok {
		return nil, fmt.Errorf("disk has no partition %s of the right type", role)
	}
	return io.NewSectionReader(i.file, p.Start, p.Size), nil
}

// ESP opens the file system of the boot partition.
func (i *Image) ESP() (*fat.FileSystem, error) {
	section, err := i.Partition(partitions.RoleESP)
	if err != nil {
		return nil, err
	}
	volume, err := fat.Open(section, section.Size())
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	return volume, nil
}

// ListESP lists the files and folders of the boot partition.
func (i *Image) ListESP() ([]fat.Entry, error) {
	volume, err := i.ESP()
	if err != nil {
		return nil, err
	}
	all, err := volume.List()
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	return all, nil
}

// CheckESP checks the whole file system of the boot partition.
func (i *Image) CheckESP() error {
	volume, err := i.ESP()
	if err != nil {
		return err
	}
	if err := volume.Check(); err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	return nil
}

// OpenESPFile gives the content of a file of the boot partition.
func (i *Image) OpenESPFile(name string) (*io.SectionReader, error) {
	volume, err := i.ESP()
	if err != nil {
		return nil, err
	}
	file, err := volume.Open(name)
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	return file, nil
}

// ReadESPFile is the whole content of a file of the boot partition; one of more
// than limit bytes is an error.
func (i *Image) ReadESPFile(name string, limit int64) ([]byte, error) {
	volume, err := i.ESP()
	if err != nil {
		return nil, err
	}
	content, err := volume.ReadFile(name, limit)
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	return content, nil
}

// ESPFileExtents are the places of a file of the boot partition, in bytes from
// the start of the disk.
func (i *Image) ESPFileExtents(name string) ([]fat.Extent, error) {
	volume, err := i.ESP()
	if err != nil {
		return nil, err
	}
	entry, err := volume.Find(name)
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	extents, err := volume.Extents(entry)
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	p, _ := i.Table.Find(partitions.RoleESP)
	for n := range extents {
		extents[n].Offset += p.Start
	}
	return extents, nil
}

// Committed is the slot that the loader boots when nothing else is asked for.
func (i *Image) Committed() (partitions.Slot, error) {
	const limit = 4096
	content, err := i.ReadESPFile(esp.LoaderConfPath, limit)
	if err != nil {
		return 0, err
	}
	return esp.ParseCommitted(content)
}
