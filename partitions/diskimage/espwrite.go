package diskimage

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/esp/fat"
)

// espLabel is the volume label of the boot partition.
const espLabel = "ESP"

// writeESP makes the boot partition: go-diskfs lays out the folders and chains
// in memory, then they are repaired and written, and last the contents are
// copied to where the chains say.
func (w *writer) writeESP(ctx context.Context) error {
	place, _ := w.config.Layout.Find(partitions.RoleESP)
	files := w.config.espFiles()
	names := slices.Sorted(maps.Keys(files))
	m := newMemory(place.Size)
	if err := layOutESP(m, names, files); err != nil {
		return err
	}
	if err := repairESP(m, w.config.Seed, w.config.Epoch); err != nil {
		return fmt.Errorf("repairing: %w", err)
	}
	if err := m.writeTo(w.file, place.Start); err != nil {
		return err
	}
	volume, err := fat.Open(m, m.size)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := w.copyToESP(ctx, volume, place.Start, name, files[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// newVolume makes an empty file system in m. go-diskfs 1.9.4 leaves out the
// table's two reserved entries when it computes the table's size, so that for
// some sizes, 64 MiB among them, the last clusters have no entry: such a volume
// is made some sectors shorter than its partition.
func newVolume(m *memory) (*fat32.FileSystem, error) {
	const tries = 4
	const noSerial = true // "reproducible": 0, until repairESP sets it
	var fault error
	for n := range int64(tries) {
		clear(m.blocks)
		volume, err := fat32.Create(m, m.size-n*blockSize, 0, partitions.SectorSize, espLabel, noSerial)
		if err != nil {
			return nil, err
		}
		if _, fault = fat.Open(m, m.size); fault == nil {
			return volume, nil
		}
	}
	return nil, fault
}

// layOutESP makes a file system in m with an allocated place for each file.
func layOutESP(m *memory, names []string, files map[string]Source) error {
	volume, err := newVolume(m)
	if err != nil {
		return err
	}
	for _, name := range names {
		if folder := path.Dir(name); folder != "." {
			if err := volume.Mkdir(folder); err != nil {
				return fmt.Errorf("making folder %s: %w", folder, err)
			}
		}
		if err := allocate(volume, name, files[name].Size); err != nil {
			return fmt.Errorf("making file %s: %w", name, err)
		}
	}
	return nil
}

// allocate makes a file of the given size by writing its last byte, a zero:
// go-diskfs writes the whole table for each allocation, so there is just one.
func allocate(volume *fat32.FileSystem, name string, size int64) error {
	file, err := volume.OpenFile(name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	if _, err := file.Seek(size-1, 0); err != nil {
		return err
	}
	if _, err := file.Write([]byte{0}); err != nil {
		return err
	}
	return file.Close()
}

func (w *writer) copyToESP(ctx context.Context, volume *fat.FileSystem, start int64, name string, s Source) error {
	entry, err := volume.Find(name)
	if err != nil {
		return err
	}
	extents, err := volume.Extents(entry)
	if err != nil {
		return err
	}
	done := int64(0)
	for _, extent := range extents {
		if err := copyAt(ctx, w.file, start+extent.Offset, s, done, extent.Length, w.step); err != nil {
			return err
		}
		done += extent.Length
	}
	return nil
}

// repairESP sets right what go-diskfs 1.9.4 leaves wrong or to chance: the ".."
// of folders in the root names the root's cluster where it must be 0, times
// are those of the clock or the environment, the volume id cannot be given, and
// the count of free clusters is missing.
func repairESP(m *memory, seed string, epoch int64) error {
	volume, err := fat.Open(m, m.size)
	if err != nil {
		return err
	}
	all, err := volume.List()
	if err != nil {
		return err
	}
	date, clock := fatTime(epoch)
	for _, entry := range append([]fat.Entry{volume.Root()}, all...) {
		if !entry.Folder {
			continue
		}
		inRoot := entry.Path != "" && !strings.Contains(entry.Path, "/")
		if err := repairFolder(m, volume, entry, inRoot, date, clock); err != nil {
			return fmt.Errorf("folder /%s: %w", entry.Path, err)
		}
	}
	return repairHeads(m, volume, seed)
}

// repairFolder visits the 32-byte entries of a folder (FAT specification, "FAT
// Directory Structure").
func repairFolder(m *memory, volume *fat.FileSystem, folder fat.Entry, inRoot bool, date, clock uint16) error {
	const size, longName = 32, 0x0f
	extents, err := volume.Extents(folder)
	if err != nil {
		return err
	}
	for _, extent := range extents {
		raw := make([]byte, extent.Length)
		if _, err := m.ReadAt(raw, extent.Offset); err != nil {
			return err
		}
		for i := 0; i < len(raw) && raw[i] != 0; i += size {
			entry := raw[i : i+size]
			if entry[11] == longName {
				continue
			}
			le := binary.LittleEndian
			entry[13] = 0                   // created, hundredths
			le.PutUint16(entry[14:], clock) // created
			le.PutUint16(entry[16:], date)
			le.PutUint16(entry[18:], date)  // accessed
			le.PutUint16(entry[22:], clock) // written
			le.PutUint16(entry[24:], date)
			if inRoot && bytes.HasPrefix(entry, []byte("..         ")) {
				le.PutUint16(entry[20:], 0)
				le.PutUint16(entry[26:], 0)
			}
		}
		if _, err := m.WriteAt(raw, extent.Offset); err != nil {
			return err
		}
	}
	return nil
}

// repairHeads sets the volume id in the boot sector and the free clusters in
// the FSInfo sector, and in the copies of both (FAT specification, "FAT32
// FSInfo Sector Structure and Backup Boot Sector").
func repairHeads(m *memory, volume *fat.FileSystem, seed string) error {
	free, first, err := volume.Free()
	if err != nil {
		return err
	}
	id := partitions.DeriveGUID(seed, "esp volume id")
	le := binary.LittleEndian
	for _, sector := range []int64{0, 6} {
		if _, err := m.WriteAt(id[:4], sector*partitions.SectorSize+67); err != nil {
			return err
		}
		counts := le.AppendUint32(le.AppendUint32(nil, free), first)
		if _, err := m.WriteAt(counts, (sector+1)*partitions.SectorSize+488); err != nil {
			return err
		}
	}
	return nil
}

// fatTime is a time as FAT has it: UTC, two seconds exact, from 1980 to 2107.
func fatTime(epoch int64) (date, clock uint16) {
	t := time.Unix(epoch, 0).UTC()
	first := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	last := time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	if t.Before(first) {
		t = first
	}
	if t.After(last) {
		t = last
	}
	date = uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day())
	clock = uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	return date, clock
}

// checkESPFile wants content under a plain relative path of characters that
// every reader of FAT takes the same way, and that is not one of ours.
func (c Config) checkESPFile(name string, s Source) error {
	bad := func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"*+,:;<=>?[\]|~`, r)
	}
	if !fs.ValidPath(name) || name == "." || strings.ContainsFunc(name, bad) || len(name) > 200 {
		return fmt.Errorf("file %.80q for the boot partition: want a relative path of plain characters", name)
	}
	if s.Size <= 0 || s.Reader == nil {
		return fmt.Errorf("file %s for the boot partition: empty", name)
	}
	for other := range c.ESPFiles {
		if other != name && strings.EqualFold(other, name) || other == name && c.isOurs(name) {
			return fmt.Errorf("file %s for the boot partition: given twice", name)
		}
	}
	return nil
}

// isOurs reports whether Write itself makes the file.
func (c Config) isOurs(name string) bool {
	for _, ours := range []string{esp.LoaderPath(c.Arch), esp.UKIPath(partitions.SlotA), esp.UKIPath(partitions.SlotB), esp.LoaderConfPath} {
		if strings.EqualFold(ours, name) {
			return true
		}
	}
	return false
}
