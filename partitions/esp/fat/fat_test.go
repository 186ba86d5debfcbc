package fat

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	testSize   = 36 << 20
	testVolume = 0xc0ffee42
)

func testFile(name string, size int) []byte {
	content := make([]byte, size)
	rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(content)
	return content
}

// testFiles are written in their order; "!name" deletes, which makes the next
// file fragmented.
var testFiles = []struct {
	name string
	size int
}{
	{"EFI/BOOT/BOOTX64.EFI", 150_000},
	{"EFI/Linux/gap.bin", 700},
	{"EFI/Linux/proa-a.efi", 1_000_001},
	{"!EFI/Linux/gap.bin", 0},
	{"EFI/Linux/proa-b.efi", 3 * 512},
	{"loader/loader.conf", 77},
	{"loader/a rather long name of many characters.text", 513},
	{"loader/empty", 0},
}

// mtoolsImage is a FAT32 file system made by mkfs.vfat and filled by mtools.
func mtoolsImage(t testing.TB) []byte {
	t.Helper()
	content, err := mtoolsOnce()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(content)
}

var mtoolsOnce = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "proa-fat-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	image := filepath.Join(folder, "esp.img")
	run := func(name string, args ...string) error {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := run("mkfs.vfat", "-F", "32", "-s", "1", "-i", fmt.Sprintf("%08x", testVolume), "-n", "ESP", "-C", image, fmt.Sprint(testSize/1024)); err != nil {
		return nil, err
	}
	if err := run("mmd", "-i", image, "EFI", "EFI/BOOT", "EFI/Linux", "loader"); err != nil {
		return nil, err
	}
	for _, file := range testFiles {
		if name, ok := strings.CutPrefix(file.name, "!"); ok {
			if err := run("mdel", "-i", image, name); err != nil {
				return nil, err
			}
			// The free place is used again only if the volume says that it is next.
			if err := setNextFree(image, 3); err != nil {
				return nil, err
			}
			continue
		}
		source := filepath.Join(folder, "source")
		if err := os.WriteFile(source, testFile(file.name, file.size), 0o600); err != nil {
			return nil, err
		}
		if err := run("mcopy", "-i", image, source, "::"+file.name); err != nil {
			return nil, err
		}
	}
	if err := run("fsck.vfat", "-n", image); err != nil {
		return nil, err
	}
	return os.ReadFile(image)
})

// setNextFree writes the hint of the FSInfo sector, which is sector 1.
func setNextFree(image string, cluster byte) error {
	file, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt([]byte{cluster, 0, 0, 0}, 512+492)
	return err
}

func open(content []byte) (*FileSystem, error) {
	return Open(bytes.NewReader(content), int64(len(content)))
}

func TestReadsWhatMtoolsWrote(t *testing.T) {
	image := mtoolsImage(t)
	f, err := open(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); err != nil {
		t.Errorf("Check of a file system that fsck.vfat likes: %v", err)
	}
	if f.VolumeID() != testVolume || f.ClusterSize() != 512 {
		t.Errorf("volume %#x, clusters of %d bytes", f.VolumeID(), f.ClusterSize())
	}
	fragments := 0
	for _, file := range testFiles {
		if strings.HasPrefix(file.name, "!") || file.name == "EFI/Linux/gap.bin" {
			continue
		}
		want := testFile(file.name, file.size)
		got, err := f.ReadFile(strings.ToUpper(file.name), 2<<20)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", file.name, len(got), err)
		}
		entry, err := f.Find(file.name)
		if err != nil || !strings.EqualFold(entry.Path, file.name) || entry.Size != int64(file.size) {
			t.Errorf("%s: %+v, %v", file.name, entry, err)
		}
		extents, err := f.Extents(entry)
		if err != nil {
			t.Errorf("%s: %v", file.name, err)
		}
		fragments = max(fragments, len(extents))
		if file.name == "EFI/BOOT/BOOTX64.EFI" && len(extents) != 1 {
			t.Errorf("%s: in %d pieces: want 1", file.name, len(extents))
		}
		var joined []byte
		for _, extent := range extents {
			joined = append(joined, image[extent.Offset:][:extent.Length]...)
		}
		if !bytes.Equal(joined, want) {
			t.Errorf("%s: its extents %v hold something else", file.name, extents)
		}
	}
	if fragments < 2 {
		t.Error("no file of the test is in pieces")
	}
	if _, err := f.Find("EFI/Linux/gap.bin"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a deleted file: %v", err)
	}
	if _, err := f.ReadFile("EFI/Linux/proa-a.efi", 1_000_000); err == nil {
		t.Error("a file over its limit was read")
	}
	if _, err := f.Open("EFI"); err == nil {
		t.Error("a folder was opened as a file")
	}
	if all, err := f.List(); err != nil || len(all) != 4+6 {
		t.Errorf("%d files and folders, %v: want 10: %v", len(all), err, all)
	}
	if _, err := f.ReadFile("EFI/BOOT/nothing", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestVolumeLabelIsNoFile gives the volume the name of a folder, and one that
// no file may have.
func TestVolumeLabelIsNoFile(t *testing.T) {
	image := mtoolsImage(t)
	p := findPlaces(t, image)
	for _, label := range []string{"EFI        ", "my esp     "} {
		copy(image[p.data:], label)
		f, err := open(image)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Find("EFI/BOOT/BOOTX64.EFI"); err != nil {
			t.Errorf("label %q: %v", label, err)
		}
	}
}

func TestFreeClustersAreThoseOfMtools(t *testing.T) {
	image := mtoolsImage(t)
	f, err := open(image)
	if err != nil {
		t.Fatal(err)
	}
	free, first, err := f.Free()
	if want := binary.LittleEndian.Uint32(image[512+488:]); err != nil || free != want {
		t.Errorf("%d clusters free, %v: want %d", free, err, want)
	}
	if at := f.tableAt + int64(first)*4; first < 3 || binary.LittleEndian.Uint32(image[at:]) != 0 || binary.LittleEndian.Uint32(image[at-4:]) == 0 {
		t.Errorf("first free cluster %d", first)
	}
}

func TestReadsFromTheMiddleOfAFile(t *testing.T) {
	f, err := open(mtoolsImage(t))
	if err != nil {
		t.Fatal(err)
	}
	file, err := f.Open("EFI/Linux/proa-b.efi") // in pieces
	if err != nil {
		t.Fatal(err)
	}
	want := testFile("EFI/Linux/proa-b.efi", 3*512)
	for off := 0; off <= len(want); off += 37 {
		for _, n := range []int{0, 1, 511, 512, 513, len(want)} {
			p := make([]byte, n)
			got, err := file.ReadAt(p, int64(off))
			wantN := min(n, len(want)-off)
			if got != wantN || !bytes.Equal(p[:got], want[off:off+got]) {
				t.Fatalf("%d bytes at %d: %d, %v", n, off, got, err)
			}
			if off+n < len(want) && n > 0 && err != nil || got < n && err != io.EOF {
				t.Fatalf("%d bytes at %d: %d, %v", n, off, got, err)
			}
		}
	}
}
