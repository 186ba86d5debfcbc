package diskimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
)

func TestTooSmallPartitionsSayWhatIsNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		role   partitions.Role
		needed int64
	}{
		"root":   {func(c *Config) { c.Root = source(make([]byte, 5*mib+4096)) }, partitions.RoleRootA, 6 * mib},
		"verity": {func(c *Config) { c.Verity = source(make([]byte, 9*mib)) }, partitions.RoleVerityA, 9 * mib},
		"uki":    {func(c *Config) { c.UKI = source(make([]byte, 40*mib)) }, partitions.RoleESP, NeededESP(40*mib, 140_891+1+esp.LoaderConfSize)},
	} {
		config := testConfig(t, 64*mib)
		c.change(&config)
		file, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		err = Write(t.Context(), file, config)
		var small *TooSmallError
		if !errors.As(err, &small) || small.Role != c.role || small.Needed != c.needed {
			t.Errorf("%s: error %v: want %s to need %d", name, err, c.role, c.needed)
			continue
		}
		if want := fmt.Sprintf("%d MiB needed", c.needed/mib); !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %q does not say %q", name, err, want)
		}
		if info, err := file.Stat(); err != nil || info.Size() != 0 {
			t.Errorf("%s: something was written before the check", name)
		}
	}
}

// TestNeededESPHoldsBothKernels fills a boot partition of just that size with
// the kernels of both slots.
func TestNeededESPHoldsBothKernels(t *testing.T) {
	for _, uki := range []int64{1, 27 * mib, 28*mib + 4096, 60 * mib, 126 * mib, 130 * mib} {
		config := testConfig(t, NeededESP(uki, 140_891+esp.LoaderConfSize+1+uki))
		config.UKI = Source{zeros{}, uki}
		config.ESPFiles["EFI/Linux/other.efi"] = Source{zeros{}, uki}
		path := writeImage(t, config)
		image, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer image.Close()
		volume, err := image.ESP()
		if err != nil {
			t.Fatal(err)
		}
		free, _, err := volume.Free()
		if room := int64(free) * volume.ClusterSize(); err != nil || room < uki+7*mib {
			t.Errorf("kernels of %d bytes: %d bytes left, %v", uki, room, err)
		}
	}
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// TestBootPartitionsOfAllSizesAreFAT32 tries the sizes at which the size of
// clusters changes; fsck.vfat takes too few clusters for FAT16.
func TestBootPartitionsOfAllSizesAreFAT32(t *testing.T) {
	for _, size := range []int64{64, 65, 127, 128, 255, 256, 260, 261, 262, 512, 1024, 2048} {
		config := testConfig(t, size*mib)
		path := writeImage(t, config)
		bootPartition := espOf(t, path)
		fsckIsSilent(t, bootPartition)
		if out := run(t, "fsck.vfat", "-nv", bootPartition); !strings.Contains(out, "2 FATs, 32 bit entries") {
			t.Errorf("boot partition of %d MiB: %s", size, out)
		}
	}
}

func TestWriteRefusesWhatItCannotDo(t *testing.T) {
	for says, change := range map[string]func(*Config){
		"image for root-a of 4097":        func(c *Config) { c.Root.Size = 4097 },
		"image for verity-a of 0":         func(c *Config) { c.Verity = Source{} },
		"proa-a.efi for the boot part":    func(c *Config) { c.UKI = Source{} },
		"BOOTX64.EFI for the boot":        func(c *Config) { c.Loader.Size = 0 },
		"layout has no partition esp":     func(c *Config) { c.Layout.Partitions = c.Layout.Partitions[1:] },
		`"../x"`:                          func(c *Config) { c.ESPFiles["../x"] = source([]byte{1}) },
		`"/x"`:                            func(c *Config) { c.ESPFiles["/x"] = source([]byte{1}) },
		`"a~1"`:                           func(c *Config) { c.ESPFiles["a~1"] = source([]byte{1}) },
		"LOADER/loader.conf":              func(c *Config) { c.ESPFiles["LOADER/loader.conf"] = source([]byte{1}) },
		"loader/loader.conf for the boot": func(c *Config) { c.ESPFiles["loader/loader.conf"] = source([]byte{1}) },
		"given twice":                     func(c *Config) { c.ESPFiles["loader/KEYS/auto/db.auth"] = source([]byte{1}) },
		"proa-b.efi for the boot":         func(c *Config) { c.ESPFiles["EFI/Linux/proa-b.efi"] = source([]byte{1}) },
		"since it is a file":              func(c *Config) { c.ESPFiles["loader/loader.conf/x"] = source([]byte{1}) },
		"reading byte 4096 of 8192":       func(c *Config) { c.Root = Source{bytes.NewReader(make([]byte, 4096)), 8192} },
		"overlap":                         func(c *Config) { c.Layout.Partitions[6].Start = c.Layout.Partitions[5].Start },
	} {
		config := testConfig(t, 64*mib)
		change(&config)
		file, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := Write(t.Context(), file, config); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v: want one that says %q", err, says)
		}
	}
}

func TestWriteWantsAnEmptyFile(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("something"); err != nil {
		t.Fatal(err)
	}
	config := testConfig(t, 64*mib)
	if err := Write(t.Context(), file, config); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("error %v", err)
	}
}

func TestInterruptedWriteEndsEarly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	config := testConfig(t, 64*mib)
	if err := Write(ctx, file, config); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestSpoiltImagesAreNotLeftUnnoticed spoils what Write has written and lets
// it read that back.
func TestSpoiltImagesAreNotLeftUnnoticed(t *testing.T) {
	config := testConfig(t, 64*mib)
	path := writeImage(t, config)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	image, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	conf, err := image.ESPFileExtents(esp.LoaderConfPath)
	if err != nil {
		t.Fatal(err)
	}
	const table = mib + 32*512
	for name, c := range map[string]struct {
		at     int64 // of a byte that is changed
		layout func(*partitions.Layout)
		says   string
	}{
		"primary table":  {at: 600, says: "is not the layout's: primary copy"},
		"backup table":   {at: int64(len(whole)) - 500, says: "is not the layout's: backup copy"},
		"other disk":     {layout: func(l *partitions.Layout) { l.DiskGUID[0]++ }, says: "is not the layout's"},
		"other place":    {layout: func(l *partitions.Layout) { l.Partitions[6].Size += mib }, says: "is not the layout's"},
		"allocation":     {at: table + 4*(2+60000), says: "belongs to no file"},
		"boot sector":    {at: mib + 510, says: "boot sector"},
		"committed slot": {at: conf[0].Offset + esp.LetterOffset, says: "want exactly"},
	} {
		spoilt := filepath.Join(t.TempDir(), "disk.raw")
		content := bytes.Clone(whole)
		if c.at != 0 {
			content[c.at] ^= 0x20
		}
		if err := os.WriteFile(spoilt, content, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(spoilt)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		w := writer{config: testConfig(t, 64*mib), file: file}
		if c.layout != nil {
			c.layout(&w.config.Layout)
		}
		if err := w.readBack(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v: want one that says %q", name, err, c.says)
		}
	}
}

func TestTimesBeyondFATAreItsFirstAndLast(t *testing.T) {
	for epoch, want := range map[int64][2]uint16{
		-1:            {1<<5 | 1, 0},
		0:             {1<<5 | 1, 0},
		testEpoch:     {43<<9 | 11<<5 | 14, 22<<11 | 13<<5 | 10},
		1 << 40:       {127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29},
		4_354_819_200: {127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29},
	} {
		if date, clock := fatTime(epoch); date != want[0] || clock != want[1] {
			t.Errorf("epoch %d: %#x %#x: want %#x", epoch, date, clock, want)
		}
	}
}
