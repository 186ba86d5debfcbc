package installer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-os/proa/partitions/sysfs"
)

// Machine is where a machine tells of its disks; the zero value is this machine.
// Another one is for tests.
type Machine struct {
	Sys  string // "" means /sys
	Dev  string // "" means /dev
	Proc string // "" means /proc
	Udev string // "" means /run/udev/data
}

func (m Machine) sys(elem ...string) string  { return under(m.Sys, "/sys", elem) }
func (m Machine) dev(elem ...string) string  { return under(m.Dev, "/dev", elem) }
func (m Machine) proc(elem ...string) string { return under(m.Proc, "/proc", elem) }
func (m Machine) udev(elem ...string) string { return under(m.Udev, "/run/udev/data", elem) }

func under(folder, usual string, elem []string) string {
	if folder == "" {
		folder = usual
	}
	return filepath.Join(append([]string{folder}, elem...)...)
}

// Disk is a disk, or a file that is to be one.
type Disk struct {
	Path       string `json:"path"`
	Size       int64  `json:"size"`       // bytes
	SectorSize int64  `json:"sectorSize"` // bytes
	Model      string `json:"model"`      // "" if it has none
	Serial     string `json:"serial"`     // likewise
	// Name is what tells the disk from others: its serial number; without one, its
	// name in /dev, and of a file the file's.
	Name      string `json:"name"`
	Removable bool   `json:"removable"`
	ReadOnly  bool   `json:"readOnly"`
	InUse     string `json:"inUse"` // by what; "" if it is not
	Holds     string `json:"holds"` // what is on it, for people
	Free      bool   `json:"free"`  // nothing that anybody would miss
	File      bool   `json:"-"`
}

// isDisk reports whether a name of /sys/block is that of a disk that a machine can
// boot from.
func isDisk(name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd", "mtdblock", "drbd", "rbd"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	// The boot areas of eMMC, and its area that only signed commands write.
	return !strings.Contains(name, "boot") && !strings.HasSuffix(name, "rpmb")
}

// Disks are the disks of the machine, by name, with what is on them as far as it
// can be read.
func (m Machine) Disks() ([]Disk, error) {
	entries, err := os.ReadDir(m.sys("block"))
	if err != nil {
		return nil, err
	}
	disks := []Disk{}
	for _, entry := range entries {
		if !isDisk(entry.Name()) {
			continue
		}
		disk, err := m.disk(entry.Name())
		if err != nil {
			return nil, err
		}
		if disk.Size == 0 {
			continue // a reader without a card
		}
		disk.Free, disk.Holds = m.look(disk)
		disks = append(disks, disk)
	}
	return disks, nil
}

func (m Machine) look(disk Disk) (free bool, holds string) {
	f, err := os.Open(disk.Path)
	if err != nil {
		return false, "unknown: " + err.Error()
	}
	defer f.Close()
	content, err := examine(f, disk.Size)
	if err != nil {
		return false, "unknown: " + err.Error()
	}
	return content.blank || content.unfinished, content.text
}

// disk is the disk of that name in /sys/block.
func (m Machine) disk(name string) (Disk, error) {
	folder := m.sys("block", name)
	number := func(file string) (int64, error) { return sysfs.Number(filepath.Join(folder, file)) }
	sectors, err := number("size")
	if err != nil {
		return Disk{}, err
	}
	const sysfsSector = 512 // whatever the disk's own sectors are
	disk := Disk{Path: m.dev(name), Size: sectors * sysfsSector}
	if disk.SectorSize, err = number("queue/logical_block_size"); err != nil {
		return Disk{}, err
	}
	readOnly, err := number("ro")
	if err != nil {
		return Disk{}, err
	}
	removable, _ := number("removable")
	disk.ReadOnly, disk.Removable = readOnly != 0, removable != 0
	disk.Model = firstOf(sysText(folder, "device/model"), sysText(folder, "device/name"))
	disk.Serial = firstOf(sysText(folder, "serial"), sysText(folder, "device/serial"), pageSerial(folder), m.udevSerial(folder))
	disk.Name = firstOf(disk.Serial, name)
	disk.InUse, err = m.inUse(name)
	return disk, err
}

// firstOf is the first text that is not empty.
func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func sysText(folder, file string) string {
	text, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		return ""
	}
	return plain(string(text))
}

// plain drops what vendors pad with, and what no terminal should be sent.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// pageSerial is the unit serial number page of SCSI, which also ATA disks and USB
// sticks have (SPC-4, 7.8.15).
func pageSerial(folder string) string {
	page, err := os.ReadFile(filepath.Join(folder, "device/vpd_pg80"))
	if err != nil || len(page) < 4 {
		return ""
	}
	return plain(string(page[4:]))
}

func (m Machine) udevSerial(folder string) string {
	text, err := os.ReadFile(m.udev("b" + sysText(folder, "dev")))
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(text), "\n") {
		if serial, ok := strings.CutPrefix(line, "E:ID_SERIAL_SHORT="); ok {
			return plain(serial)
		}
	}
	return ""
}

// inUse says by what a disk or one of its partitions is used. The kernel has the
// last word, when the disk is opened; this is so that people are told.
func (m Machine) inUse(name string) (string, error) {
	folder := m.sys("block", name)
	parts, err := filepath.Glob(filepath.Join(folder, name+"*"))
	if err != nil {
		return "", err
	}
	mounts, err := m.mounts()
	if err != nil {
		return "", err
	}
	for _, part := range append([]string{folder}, parts...) {
		if where, ok := mounts[sysText(part, "dev")]; ok {
			return fmt.Sprintf("%s is mounted at %s", filepath.Base(part), where), nil
		}
		holders, err := os.ReadDir(filepath.Join(part, "holders"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		for _, holder := range holders {
			what := firstOf(sysText(m.sys("block", holder.Name()), "dm/name"), holder.Name())
			return fmt.Sprintf("%s is part of %s", filepath.Base(part), what), nil
		}
		if slices.Contains(m.swaps(), m.dev(filepath.Base(part))) {
			return fmt.Sprintf("%s is swap space", filepath.Base(part)), nil
		}
	}
	return "", nil
}

// mounts are where devices are mounted, by their numbers (proc(5), mountinfo).
func (m Machine) mounts() (map[string]string, error) {
	text, err := os.ReadFile(m.proc("self/mountinfo"))
	if err != nil {
		return nil, err
	}
	mounts := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 4 {
			if _, known := mounts[fields[2]]; !known {
				mounts[fields[2]] = fields[4]
			}
		}
	}
	return mounts, nil
}

func (m Machine) swaps() []string {
	text, err := os.ReadFile(m.proc("swaps"))
	if err != nil {
		return nil
	}
	var names []string
	for _, line := range strings.Split(string(text), "\n") {
		if name, _, ok := strings.Cut(line, " "); ok {
			names = append(names, name)
		}
	}
	return names
}
