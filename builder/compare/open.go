package compare

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/builder/erofs"
	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/regular"
)

// What can be wrong with what Open is given, for errors.Is.
var (
	ErrUnknown = errors.New("neither a release folder, nor a disk image, nor a root image")
	ErrNoSlot  = errors.New("a slot can be chosen on a disk only")
)

// Open opens the root image at path: of a release folder, a root image by
// itself, or a disk or disk image, there of the given slot, or of the committed
// one when that is 0. The caller calls close when the system's tree is not
// needed any more.
//
// The image is read with care, but nothing is verified: see package examine.
func Open(path string, slot partitions.Slot) (s System, close func() error, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return System{}, nil, err
	}
	s.Name = path
	if info.IsDir() {
		if slot != 0 {
			return System{}, nil, fmt.Errorf("%s: %w", path, ErrNoSlot)
		}
		release, err := examine.ReadRelease(path)
		if errors.Is(err, examine.ErrNoRelease) {
			err = fmt.Errorf("%s: %w: %w", path, ErrUnknown, err)
		}
		if err != nil {
			return System{}, nil, err
		}
		s.Product, s.Version, s.RootHash = release.Product, string(release.Version), release.Root.Hash.String()
		path = filepath.Join(path, manifests.RootFile)
	}
	file, _, err := regular.OpenDisk(path)
	if errors.Is(err, regular.ErrKind) {
		err = fmt.Errorf("%s: %w", path, ErrUnknown)
	}
	if err != nil {
		return System{}, nil, err
	}
	if _, err := erofs.ImageSize(file); !errors.Is(err, erofs.ErrNotImage) {
		if slot != 0 {
			file.Close()
			return System{}, nil, fmt.Errorf("%s: %w", path, ErrNoSlot)
		}
		if err := s.read(file); err != nil {
			file.Close()
			return System{}, nil, fmt.Errorf("%s: %w", path, err)
		}
		return s, file.Close, nil
	}
	file.Close()
	if info.IsDir() {
		return System{}, nil, fmt.Errorf("%s: %w", path, erofs.ErrNotImage)
	}
	return s.openDisk(path, slot)
}

func (s System) openDisk(path string, slot partitions.Slot) (System, func() error, error) {
	disk, err := diskimage.Open(path)
	if err != nil {
		return System{}, nil, fmt.Errorf("%s: %w: %w", path, ErrUnknown, err)
	}
	if slot == 0 {
		if slot, err = disk.Committed(); err != nil {
			disk.Close()
			return System{}, nil, fmt.Errorf("%s: which slot is committed: %w", path, err)
		}
	}
	root, err := disk.Partition(slot.Root())
	if err == nil {
		err = s.read(root)
	}
	if err != nil {
		disk.Close()
		return System{}, nil, fmt.Errorf("%s, slot %s: %w", path, slot, err)
	}
	if found, err := examine.Describe(path); err == nil && found.Disk != nil {
		for _, described := range found.Disk.Slots {
			if described.Slot == slot && described.Kernel != nil {
				s.RootHash = described.Kernel.RootHash
			}
		}
	}
	return s, disk.Close, nil
}

// Read is the system in a root image that is open already; name is what
// messages call it. The image must stay open as long as the tree is used.
func Read(image io.ReaderAt, name string) (System, error) {
	s := System{Name: name}
	err := s.read(image)
	return s, err
}

func (s *System) read(image io.ReaderAt) (err error) {
	if s.Size, err = erofs.ImageSize(image); err != nil {
		return err
	}
	if s.Tree, err = erofs.Read(image, s.Name); err != nil {
		return err
	}
	if s.Version == "" {
		s.Product, s.Version = identity(s.Tree)
	}
	return nil
}

// identity is what an image says of itself, empty where it says nothing that
// can be read.
func identity(t *tree.Tree) (product, version string) {
	var image manifests.Image
	data, err := t.ReadFile(manifests.ImagePath, 64<<10)
	if err != nil || manifests.CheckJSON(data, len(data)) != nil || json.Unmarshal(data, &image) != nil || image.Schema != 1 {
		return "", ""
	}
	return image.Product, string(image.Version)
}
