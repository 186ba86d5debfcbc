package diskimage

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/progress"
)

const (
	mib       = 1 << 20
	testEpoch = 1_700_000_000 // 2023-11-14 22:13:20 UTC
)

func noise(name string, size int) []byte {
	content := make([]byte, size)
	rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(content)
	return content
}

func source(content []byte) Source {
	return Source{bytes.NewReader(content), int64(len(content))}
}

// testConfig is a small disk; its root has a hole of 1 MiB at 1 MiB.
func testConfig(t testing.TB, espSize int64) Config {
	t.Helper()
	layout, err := partitions.Plan("test", "amd64", partitions.Sizes{ESP: espSize, Root: 5 * mib, Verity: mib, Var: 16 * mib})
	if err != nil {
		t.Fatal(err)
	}
	root := noise("root", 4*mib+4096)
	clear(root[mib : 2*mib])
	return Config{
		Layout: layout, Arch: "amd64", Seed: "test", Epoch: testEpoch,
		Loader: source(noise("loader", 140_891)),
		UKI:    source(noise("uki", 3*mib+7)),
		Root:   source(root),
		Verity: source(noise("verity", 40960)),
		ESPFiles: map[string]Source{
			"loader/keys/auto/db.auth": source(noise("db", 1)),
		},
	}
}

func writeImage(t testing.TB, config Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := Write(t.Context(), file, config); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a tool that must be there.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// espOf cuts the boot partition out of an image.
func espOf(t testing.TB, path string) string {
	t.Helper()
	image, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	out, err := os.Create(filepath.Join(t.TempDir(), "esp.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, _ := image.Table.Find(partitions.RoleESP)
	if err := out.Truncate(p.Size); err != nil {
		t.Fatal(err)
	}
	if err := copyAt(t.Context(), out, 0, Source{Reader: image.file}, p.Start, p.Size, progress.Silent().Step("", 0)); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func TestOtherToolsReadTheDiskImage(t *testing.T) {
	config := testConfig(t, 64*mib)
	path := writeImage(t, config)

	if out := run(t, "sgdisk", "--verify", path); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk --verify: %s", out)
	}
	if out := run(t, "sfdisk", "--verify", path); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk --verify: %s", out)
	}
	for _, p := range config.Layout.Partitions {
		out := run(t, "sgdisk", fmt.Sprintf("--info=%d", p.Number), path)
		for _, want := range []string{
			strings.ToUpper(p.GUID.String()), strings.ToUpper(p.Type.String()), "'" + string(p.Role) + "'",
			fmt.Sprintf("First sector: %d ", p.Start/512), fmt.Sprintf("Partition size: %d sectors", p.Size/512),
		} {
			if !strings.Contains(out, want) {
				t.Errorf("sgdisk about partition %d does not say %q:\n%s", p.Number, want, out)
			}
		}
	}
	if out := run(t, "sgdisk", "--print", path); !strings.Contains(out, strings.ToUpper(config.Layout.DiskGUID.String())) {
		t.Errorf("sgdisk --print: %s", out)
	}
	fsckIsSilent(t, espOf(t, path))

	at := path + "@@" + fmt.Sprint(config.Layout.Partitions[0].Start)
	for name, want := range config.espFiles() {
		copied := filepath.Join(t.TempDir(), "copied")
		run(t, "mcopy", "-i", at, "::"+name, copied)
		got, err := os.ReadFile(copied)
		if err != nil || !bytes.Equal(got, contentOf(t, want)) {
			t.Errorf("mcopy %s: %d bytes, %v: not what was written", name, len(got), err)
		}
	}
	listing := run(t, "mdir", "-i", at, "-/", "-a", "::")
	id := partitions.DeriveGUID("test", "esp volume id")
	if want := fmt.Sprintf("Volume Serial Number is %02X%02X-%02X%02X", id[3], id[2], id[1], id[0]); !strings.Contains(listing, want) {
		t.Errorf("mdir does not say %q", want)
	}
	for _, line := range strings.Split(listing, "\n") {
		if strings.Contains(line, "-") && strings.Contains(line, ":") && !strings.Contains(line, "2023-11-14  22:13") && !strings.Contains(line, "Directory") {
			t.Errorf("another time in: %s", line)
		}
	}
}

// fsckIsSilent wants that fsck.vfat finds nothing at all to say.
func fsckIsSilent(t testing.TB, image string) {
	t.Helper()
	out := run(t, "fsck.vfat", "-n", image)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "fsck.fat ") || !strings.Contains(lines[1], "clusters") {
		t.Errorf("fsck.vfat -n says:\n%s", out)
	}
}

func contentOf(t testing.TB, s Source) []byte {
	t.Helper()
	content := make([]byte, s.Size)
	if _, err := s.Reader.ReadAt(content, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return content
}

func TestImageHoldsWhatWasGiven(t *testing.T) {
	config := testConfig(t, 64*mib)
	image, err := Open(writeImage(t, config))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	for _, part := range []struct {
		role partitions.Role
		want []byte
	}{
		{partitions.RoleRootA, contentOf(t, config.Root)},
		{partitions.RoleVerityA, contentOf(t, config.Verity)},
		{partitions.RoleRootB, nil}, {partitions.RoleVerityB, nil}, {partitions.RoleState, nil}, {partitions.RoleVar, nil},
	} {
		section, err := image.Partition(part.role)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(section)
		want := make([]byte, section.Size())
		copy(want, part.want)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: other content, %v", part.role, err)
		}
	}
	for name, want := range config.espFiles() {
		got, err := image.ReadESPFile(name, 8*mib)
		if err != nil || !bytes.Equal(got, contentOf(t, want)) {
			t.Errorf("%s: other content, %v", name, err)
		}
	}
	if slot, err := image.Committed(); err != nil || slot != partitions.SlotA {
		t.Errorf("committed slot %s, %v", slot, err)
	}
	if err := image.CheckESP(); err != nil {
		t.Error(err)
	}
	all, err := image.ListESP()
	const folders = 6 // EFI, EFI/BOOT, EFI/Linux, loader, loader/keys, loader/keys/auto
	if err != nil || len(all) != folders+len(config.espFiles()) {
		t.Errorf("%v: %v", err, all)
	}
}

// TestCommitIsOneByteInOnePlace overwrites the byte that Open finds, and lets
// mtools read the file.
func TestCommitIsOneByteInOnePlace(t *testing.T) {
	config := testConfig(t, 64*mib)
	path := writeImage(t, config)
	image, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	extents, err := image.ESPFileExtents(esp.LoaderConfPath)
	if err != nil || len(extents) != 1 || extents[0].Offset%512 != 0 || extents[0].Length != esp.LoaderConfSize {
		t.Fatalf("loader.conf is in %+v, %v: want the start of one sector", extents, err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("b"), extents[0].Offset+esp.LetterOffset); err != nil {
		t.Fatal(err)
	}
	if slot, err := image.Committed(); err != nil || slot != partitions.SlotB {
		t.Errorf("committed slot %s, %v", slot, err)
	}
	at := path + "@@" + fmt.Sprint(config.Layout.Partitions[0].Start)
	if out := run(t, "mtype", "-i", at, "::"+esp.LoaderConfPath); out != string(esp.LoaderConf(partitions.SlotB)) {
		t.Errorf("mtype: %q", out)
	}
}

func TestSameInputsGiveTheSameImage(t *testing.T) {
	sum := func(path string) [32]byte {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(content)
	}
	want := sum(writeImage(t, testConfig(t, 64*mib)))

	t.Setenv("SOURCE_DATE_EPOCH", "42")
	t.Setenv("TZ", "Pacific/Auckland")
	local, umask := time.Local, syscall.Umask(0o777)
	time.Local = time.FixedZone("there", -9*3600)
	t.Cleanup(func() { time.Local = local; syscall.Umask(umask) })
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(folder)
	config := testConfig(t, 64*mib)
	// A file as a source takes another way than a reader.
	root, err := os.OpenFile("root", os.O_CREATE|os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := root.Write(contentOf(t, config.Root)); err != nil {
		t.Fatal(err)
	}
	config.Root.Reader = root
	file, err := os.OpenFile("disk.raw", os.O_CREATE|os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := Write(t.Context(), file, config); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("disk.raw", 0o600); err != nil {
		t.Fatal(err)
	}
	if sum("disk.raw") != want {
		t.Error("another image under another zone, umask, folder and environment")
	}

	syscall.Umask(umask)
	other := testConfig(t, 64*mib)
	other.Epoch += 2
	if sum(writeImage(t, other)) == want {
		t.Error("the epoch is not in the image")
	}
}
