// Package examine reads back what a build made, or what is on a disk: Describe
// says what is there, Verify whether all of it is right. Both distrust every
// byte, so they are also for disks that come from elsewhere.
package examine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/builder/uki"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/regular"
)

// Description is what was found at a path: a release folder has Release, and
// Disk if its disk image is there; the folder of an extension has Extension; a disk
// image has Disk; a unified kernel image has Kernel.
type Description struct {
	Path      string                    `json:"path"`
	Release   *manifests.Release        `json:"release,omitempty"`
	Extension *manifests.BuiltExtension `json:"extension,omitempty"`
	Disk      *Disk                     `json:"disk,omitempty"`
	Kernel    *Kernel                   `json:"kernel,omitempty"`
}

// Disk is what is on a disk or in the image of one.
type Disk struct {
	GUID       string           `json:"guid"`
	Damaged    string           `json:"damaged,omitempty"` // what is wrong with one of the two copies of the table
	Committed  *partitions.Slot `json:"committed,omitempty"`
	Fault      string           `json:"fault,omitempty"` // why the committed slot is not known
	Partitions []Partition      `json:"partitions"`
	Slots      []Slot           `json:"slots"`
}

// Partition is one entry of the table.
type Partition struct {
	Number int             `json:"number"`
	Role   partitions.Role `json:"role"`
	Type   string          `json:"type"`
	GUID   string          `json:"guid"`
	Start  int64           `json:"start"` // bytes from the start of the disk
	Size   int64           `json:"size"`  // bytes
}

// Slot is one slot of a disk.
type Slot struct {
	Slot   partitions.Slot `json:"slot"`
	Empty  bool            `json:"empty"` // it has no kernel image
	Kernel *Kernel         `json:"kernel,omitempty"`
	Fault  string          `json:"fault,omitempty"` // why the kernel image cannot be read
}

// Kernel is what a unified kernel image says of itself.
type Kernel struct {
	Size        int64          `json:"size"` // bytes
	Arch        manifests.Arch `json:"arch"`
	Release     string         `json:"release"` // of the kernel, as uname -r
	CommandLine string         `json:"commandLine"`
	RootHash    string         `json:"rootHash"` // hex digits
	Signed      bool           `json:"signed"`   // for Secure Boot; nothing is said of by whom
	Sections    []Section      `json:"sections"`

	boot cmdline.Boot
}

// Section is one section of a unified kernel image.
type Section struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes
}

// ErrUnknown says that a file is nothing that proa makes.
var ErrUnknown = errors.New("neither a release folder, nor a disk image, nor a unified kernel image")

// stat refuses what is neither a folder, nor a file, nor a disk: reading a pipe
// or a terminal would wait for ever.
func stat(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if m := info.Mode(); !m.IsDir() && !m.IsRegular() && m.Type() != fs.ModeDevice {
		return nil, fmt.Errorf("%s: %w", path, ErrUnknown)
	}
	return info, nil
}

// Describe says what is at path.
func Describe(path string) (Description, error) {
	info, err := stat(path)
	if err != nil {
		return Description{}, err
	}
	d := Description{Path: path}
	if info.IsDir() && isExtension(path) {
		built, err := ReadExtension(path)
		d.Extension = &built
		return d, err
	}
	if info.IsDir() {
		release, err := ReadRelease(path)
		if errors.Is(err, ErrNoRelease) {
			err = fmt.Errorf("%s: %w: %w", path, ErrUnknown, err)
		}
		if err != nil {
			return Description{}, err
		}
		d.Release = &release
		path = filepath.Join(path, manifests.DiskFile)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return d, nil
		}
	}
	if isExecutable(path) {
		kernel, err := readKernelFile(path)
		if err != nil {
			return Description{}, fmt.Errorf("%s: %w", path, err)
		}
		d.Kernel = &kernel
		return d, nil
	}
	image, err := diskimage.Open(path)
	if err != nil {
		return Description{}, fmt.Errorf("%s: %w: %w", path, ErrUnknown, err)
	}
	defer image.Close()
	disk := describeDisk(image)
	d.Disk = &disk
	return d, nil
}

// isExecutable reports whether a file starts as EFI programs do and disks do
// not.
func isExecutable(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	var magic [2]byte
	_, err = io.ReadFull(file, magic[:])
	return err == nil && string(magic[:]) == "MZ"
}

// ErrNoRelease is wrapped by the error of a folder that is no release.
var ErrNoRelease = errors.New("it has no " + manifests.ReleaseFile)

// ReadRelease reads what a release folder says of itself.
func ReadRelease(folder string) (manifests.Release, error) {
	path := filepath.Join(folder, manifests.ReleaseFile)
	data, err := regular.Read(path, manifests.DocumentMost)
	if errors.Is(err, fs.ErrNotExist) {
		return manifests.Release{}, ErrNoRelease
	}
	if err != nil {
		return manifests.Release{}, err
	}
	release, err := manifests.ParseRelease(data)
	if err != nil {
		return manifests.Release{}, fmt.Errorf("%s: %w", path, err)
	}
	return release, nil
}

func describeDisk(image *diskimage.Image) Disk {
	d := Disk{GUID: image.Table.DiskGUID.String(), Damaged: image.Table.Damaged}
	for _, p := range image.Table.Partitions {
		d.Partitions = append(d.Partitions, Partition{p.Number, p.Role, p.Type.String(), p.GUID.String(), p.Start, p.Size})
	}
	if committed, err := image.Committed(); err != nil {
		d.Fault = err.Error()
	} else {
		d.Committed = &committed
	}
	for _, slot := range partitions.Slots() {
		s := Slot{Slot: slot}
		kernel, err := readSlotKernel(image, slot)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.Empty = true
		case err != nil:
			s.Fault = err.Error()
		default:
			s.Kernel = &kernel
		}
		d.Slots = append(d.Slots, s)
	}
	return d
}

func readSlotKernel(image *diskimage.Image, slot partitions.Slot) (Kernel, error) {
	file, err := image.OpenESPFile(esp.UKIPath(slot))
	if err != nil {
		return Kernel{}, err
	}
	return readKernel(file, file.Size())
}

func readKernelFile(path string) (Kernel, error) {
	file, err := os.Open(path)
	if err != nil {
		return Kernel{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Kernel{}, err
	}
	return readKernel(file, info.Size())
}

func readKernel(r io.ReaderAt, size int64) (Kernel, error) {
	image, err := uki.Parse(r, size)
	if err != nil {
		return Kernel{}, err
	}
	boot, err := cmdline.Parse(image.CommandLine)
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{
		Size:        size,
		Arch:        image.Arch,
		Release:     image.Uname,
		CommandLine: image.CommandLine,
		RootHash:    fmt.Sprintf("%x", boot.Root.Hash),
		Signed:      image.Signed,
		boot:        boot,
	}
	for _, s := range image.Sections {
		k.Sections = append(k.Sections, Section{s.Name, s.Size})
	}
	return k, nil
}
