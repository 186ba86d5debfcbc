package diskimage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp/fat"
)

// boot writes a boot partition into a file full of rubbish.
func bootPartition(t *testing.T, c ESPConfig) string {
	t.Helper()
	pieces, err := ESP(c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "esp.img")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(bytes.Repeat([]byte{0xf5}, 12*mib), 0); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(c.Size); err != nil {
		t.Fatal(err)
	}
	end := int64(0)
	for _, piece := range pieces {
		if piece.Offset < end || piece.Offset+piece.Size > c.Size {
			t.Fatalf("piece of %d bytes at %d, after %d of %d", piece.Size, piece.Offset, end, c.Size)
		}
		end = piece.Offset + piece.Size
		if _, err := file.WriteAt(contentOf(t, piece.Source), piece.Offset); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestBootPartitionsHaveTheSectorsOfTheirDisks lets fsck.vfat and mtools read the
// smallest ones, and Check.
func TestBootPartitionsHaveTheSectorsOfTheirDisks(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		c := ESPConfig{Size: LeastESP(sector), SectorSize: sector, Seed: "test", Epoch: testEpoch, Files: map[string]Source{
			"EFI/BOOT/BOOTX64.EFI": source(noise("loader", 140_891)),
			"EFI/Linux/proa-a.efi": source(noise("uki", 2*mib+7)),
			"EFI/linux/proa-b.efi": source(noise("uki b", 1)), // the same folder
			"loader/loader.conf":   source(noise("conf", 4096)),
			"empty.d/x":            source([]byte{1}),
			"a.tar.gz":             source([]byte{2}),
			".hidden":              source([]byte{3}),
		}}
		for n := range 130 { // more than a cluster of entries, with short names that are alike
			c.Files[fmt.Sprintf("loader/entries/a-name-that-is-longer-than-others-%03d.conf", n)] = source([]byte(fmt.Sprint(n)))
		}
		path := bootPartition(t, c)
		fsckIsSilent(t, path)
		if out := run(t, "fsck.vfat", "-nv", path); !strings.Contains(out, fmt.Sprintf("%d bytes per logical sector", sector)) || !strings.Contains(out, "2 FATs, 32 bit entries") {
			t.Errorf("sectors of %d: %s", sector, out)
		}
		for name, want := range c.Files {
			if strings.HasSuffix(name, ".conf") && !strings.HasSuffix(name, "9.conf") {
				continue
			}
			copied := filepath.Join(t.TempDir(), "copied")
			run(t, "mcopy", "-i", path, "::"+name, copied)
			if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, contentOf(t, want)) {
				t.Errorf("mcopy %s: %d bytes, %v: not what was written", name, len(got), err)
			}
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		volume, err := fat.Open(file, c.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := volume.Check(); err != nil {
			t.Error(err)
		}
		if all, err := volume.List(); err != nil || len(all) != len(c.Files)+6 {
			t.Errorf("%d files and folders, %v", len(all), err)
		}
		c.Size -= 4 * partitions.Alignment
		if _, err := ESP(c); err == nil && sector == 4096 {
			t.Errorf("a boot partition of %d bytes has enough clusters of %d", c.Size, sector)
		}
	}
}

func TestBootPartitionsThatAreFullAreErrors(t *testing.T) {
	c := ESPConfig{Size: 64 * mib, SectorSize: 512, Seed: "test", Files: map[string]Source{"a": {zeros{}, 63 * mib}}}
	if _, err := ESP(c); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("error %v", err)
	}
	for says, name := range map[string]string{"plain characters": "loader./x", "3/x": "3/x"} {
		c.Files = map[string]Source{name: source([]byte{1}), "3": source([]byte{1})}
		if _, err := ESP(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.SectorSize = 1024
	if _, err := ESP(c); err == nil {
		t.Error("sectors of 1024 bytes are accepted")
	}
}
