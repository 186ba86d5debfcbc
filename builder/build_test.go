package builder

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/erofs"
	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/machine/workshop"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/progress"
)

// inputs are what the tests build from: the programs and the root of the small
// test guest, with a real kernel and its modules.
type inputs struct {
	root string // tar archive
	init []byte
}

var shared inputs

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv(elsewhere) != "" {
			if err := buildHere(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return 0
		}
		folder, err := os.MkdirTemp("", "proa-builder-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(folder)
		if err := shared.make(folder); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

func (in *inputs) make(folder string) error {
	err := workshop.Compile(context.Background(), folder, "cmd/proa-init")
	if err != nil {
		return err
	}
	if in.init, err = os.ReadFile(filepath.Join(folder, "proa-init")); err != nil {
		return err
	}
	in.root, err = workshop.Appliance(context.Background(), folder)
	return err
}

// config is a build of the shared root, and of more sources, into a new folder.
func config(t *testing.T, recipe string) Config {
	t.Helper()
	text := []byte("product: test\nplatform: qemu\nesp: 96MiB\nvar: 16MiB\nsources:\n  - tar: " + shared.root + "\n" + recipe)
	r, err := manifests.ParseRecipe("recipe.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Recipe:     r,
		RecipeText: text,
		Folder:     t.TempDir(),
		Output:     filepath.Join(t.TempDir(), "out"),
		Version:    "1.0.0",
		Arch:       manifests.AMD64,
		Epoch:      manifests.DefaultEpoch,
		Init:       shared.init,
	}
}

func mustBuild(t *testing.T, c Config) {
	t.Helper()
	if _, err := Build(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestAReleaseSatisfiesTheReferenceTools(t *testing.T) {
	c := config(t, "")
	release, err := Build(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(c.Output, name) }

	run(t, "fsck.erofs", file(manifests.RootFile))
	run(t, "veritysetup", "verify", file(manifests.RootFile), file(manifests.VerityFile), release.Root.Hash.String())
	if out := run(t, "sgdisk", "-v", file(manifests.DiskFile)); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	esp := filepath.Join(t.TempDir(), "esp")
	copyESP(t, file(manifests.DiskFile), esp)
	run(t, "fsck.vfat", "-n", esp)
	if out := run(t, "mtype", "-i", esp, "::/loader/loader.conf"); !strings.Contains(out, "default proa-a.efi") {
		t.Errorf("loader.conf: %s", out)
	}
	if loader, err := os.ReadFile(file(manifests.LoaderFile)); err != nil || string(loader) != run(t, "mtype", "-i", esp, "::/EFI/BOOT/BOOTX64.EFI") {
		t.Errorf("%s is not the loader of the disk: %v", manifests.LoaderFile, err)
	}
	run(t, "sbverify", "--list", file(manifests.UKIFile))
	cmdline := filepath.Join(t.TempDir(), "cmdline")
	run(t, "objcopy", "-O", "binary", "--only-section=.cmdline", file(manifests.UKIFile), cmdline)
	text, err := os.ReadFile(cmdline)
	if err != nil {
		t.Fatal(err)
	}
	if want := "proa.roothash=" + release.Root.Hash.String(); !strings.Contains(string(text), want) {
		t.Errorf("the command line is %q: want %s in it", text, want)
	}
}

func copyESP(t *testing.T, disk, to string) {
	t.Helper()
	image, err := diskimage.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	esp, err := image.Partition("esp")
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, esp.Size())
	if _, err := esp.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTheSameInputsGiveTheSameBytes builds under everything that has been seen
// to make builds differ.
func TestTheSameInputsGiveTheSameBytes(t *testing.T) {
	overlay := func(t *testing.T, names ...string) string {
		dir := t.TempDir()
		for _, name := range names {
			path := filepath.Join(dir, "usr/share", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(name), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	first := config(t, "  - dir: overlay\n")
	first.Folder = t.TempDir()
	if err := os.Rename(overlay(t, "a/1", "b/2", "c/3"), filepath.Join(first.Folder, "overlay")); err != nil {
		t.Fatal(err)
	}
	mustBuild(t, first)

	second := config(t, "  - dir: overlay\n")
	t.Setenv("TZ", "Pacific/Kiritimati")
	t.Setenv("LC_ALL", "tr_TR.UTF-8")
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	cores := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(cores)
	moved := filepath.Join(second.Folder, "overlay")
	if err := os.Rename(overlay(t, "c/3", "b/2", "a/1"), moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(moved, "usr/share/a/1"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(second.Folder)
	second.Folder = "."
	mustBuild(t, second)

	for _, name := range []string{manifests.ReleaseFile, manifests.RootFile, manifests.RootMapFile, manifests.VerityFile, manifests.UKIFile, manifests.LoaderFile, manifests.LayoutFile, manifests.DiskFile} {
		run(t, "cmp", filepath.Join(first.Output, name), filepath.Join(second.Output, name))
	}
}

func TestAReleaseIsVerifiedAsOneWhateverLiesInIt(t *testing.T) {
	c := config(t, "")
	mustBuild(t, c)
	if err := os.WriteFile(filepath.Join(c.Output, manifests.ExtensionFile), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	checks, err := examine.Verify(t.Context(), c.Output, nil)
	if err != nil || !slices.ContainsFunc(checks, func(c examine.Check) bool { return strings.Contains(c.Name, "kernel image") }) {
		t.Errorf("checked %+v, %v: want those of a release", checks, err)
	}
}

func TestTheLayoutIsThatOfTheDisk(t *testing.T) {
	c := config(t, "")
	mustBuild(t, c)
	text, err := os.ReadFile(filepath.Join(c.Output, manifests.LayoutFile))
	if err != nil {
		t.Fatal(err)
	}
	l, err := manifests.ParseLayout(text)
	if err != nil {
		t.Fatal(err)
	}
	want, err := partitions.Plan(l.Seed, string(c.Arch), partitions.Sizes{ESP: l.ESP, Root: l.Root, Verity: l.Verity, Var: l.Var})
	if err != nil {
		t.Fatal(err)
	}
	disk, err := diskimage.Open(filepath.Join(c.Output, manifests.DiskFile))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if !slices.Equal(disk.Table.Partitions, want.Partitions) || disk.Table.DiskGUID != want.DiskGUID {
		t.Errorf("the disk has %+v: the layout makes %+v", disk.Table.Partitions, want.Partitions)
	}
}

func TestWhatTheTarHoldsTheImageHolds(t *testing.T) {
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // cap_net_bind_service=ep
	archive := filepath.Join(t.TempDir(), "more.tar")
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := tar.NewWriter(file)
	for _, h := range []*tar.Header{
		{Name: "srv/ping", Typeflag: tar.TypeReg, Mode: 0o4755, Uid: 70000, Gid: 42, Size: 4, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability}},
		{Name: "srv/pong", Typeflag: tar.TypeLink, Linkname: "srv/ping"},
		{Name: "srv/link", Typeflag: tar.TypeSymlink, Linkname: "/absolute/../target"},
		{Name: "srv/null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3},
		{Name: "srv/disk", Typeflag: tar.TypeBlock, Mode: 0o660, Gid: 6, Devmajor: 259, Devminor: 70000},
		{Name: "srv/pipe", Typeflag: tar.TypeFifo, Mode: 0o600},
		{Name: "srv/shared", Typeflag: tar.TypeDir, Mode: 0o1777},
	} {
		h.ModTime = time.Unix(1_700_000_000, 0)
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("ping")[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c := config(t, "  - tar: "+archive+"\n")
	mustBuild(t, c)

	image, err := os.Open(filepath.Join(c.Output, manifests.RootFile))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	root, err := erofs.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	stat := func(name string) *erofs.Stat {
		info, err := fs.Stat(root, name)
		if link, lerr := fs.Lstat(root, name); lerr == nil {
			info, err = link, nil
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := info.Sys().(*erofs.Stat)
		if s.Mtime != manifests.DefaultEpoch {
			t.Errorf("%s: time %d, want the epoch", name, s.Mtime)
		}
		return s
	}
	ping, pong := stat("srv/ping"), stat("srv/pong")
	if ping.UID != 70000 || ping.GID != 42 || ping.Mode.Perm() != 0o755 || ping.Mode&fs.ModeSetuid == 0 || ping.Xattrs["security.capability"] != capability {
		t.Errorf("srv/ping is %+v", ping)
	}
	if ping.Ino != pong.Ino || ping.Nlink != 2 {
		t.Errorf("srv/ping and srv/pong are inodes %d and %d with %d links: want one with 2", ping.Ino, pong.Ino, ping.Nlink)
	}
	if target, err := fs.ReadLink(root, "srv/link"); err != nil || target != "/absolute/../target" {
		t.Errorf("srv/link leads to %q, %v", target, err)
	}
	if s := stat("srv/null"); s.Mode&fs.ModeCharDevice == 0 || s.Rdev != 1<<8|3 {
		t.Errorf("srv/null is %v %#x", s.Mode, s.Rdev)
	}
	// The kernel's new encoding: 12 bits of major, 20 of minor.
	if s := stat("srv/disk"); s.Mode&fs.ModeDevice == 0 || s.GID != 6 || s.Rdev != 259<<8|70000&0xff|(70000&^0xff)<<12 {
		t.Errorf("srv/disk is %v %#x", s.Mode, s.Rdev)
	}
	if s := stat("srv/pipe"); s.Mode&fs.ModeNamedPipe == 0 {
		t.Errorf("srv/pipe is %v", s.Mode)
	}
	if s := stat("srv/shared"); s.Mode&fs.ModeSticky == 0 || s.Mode.Perm() != 0o777 {
		t.Errorf("srv/shared is %v", s.Mode)
	}
}

// canceller ends a build when it announces a step.
type canceller struct {
	cancel context.CancelFunc
	at     string
	seen   *bool
}

func (c canceller) Step(name string, _ int64) progress.Step {
	if strings.HasPrefix(name, c.at) {
		*c.seen = true
		c.cancel()
	}
	return progress.Silent().Step(name, 0)
}

func TestAnInterruptedBuildLeavesNothing(t *testing.T) {
	for _, at := range []string{"read tar", "make initrd", "write root image", "hash root image", "write disk image", "digest disk.raw"} {
		t.Run(at, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := config(t, "")
			seen := false
			c.Progress = canceller{cancel, at, &seen}
			_, err := Build(ctx, c)
			if !seen {
				t.Fatal("the build has no such step")
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v", err)
			}
			left, err := os.ReadDir(filepath.Dir(c.Output))
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestASlotThatIsTooSmallIsRefusedWithTheSizeThatItNeeds(t *testing.T) {
	c := config(t, "slots: {root: 2MiB}\n")
	_, err := Build(t.Context(), c)
	var small *diskimage.TooSmallError
	if !errors.As(err, &small) || small.Role != "root-a" {
		t.Fatalf("got error %v", err)
	}
	c.Recipe.Slots.Root = manifests.Size(small.Needed)
	mustBuild(t, c)
}

func TestAnExistingReleaseIsReplacedOnlyWhenAsked(t *testing.T) {
	c := config(t, "")
	mustBuild(t, c)
	if _, err := Build(t.Context(), c); !errors.Is(err, ErrExists) {
		t.Errorf("got error %v", err)
	}
	c.Replace, c.Version = true, "1.0.1"
	mustBuild(t, c)
	description, err := examine.Describe(c.Output)
	if err != nil || description.Release.Version != "1.0.1" {
		t.Errorf("got %+v, %v", description.Release, err)
	}
	if err := os.WriteFile(filepath.Join(c.Output, "notes.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), c); !errors.Is(err, ErrExists) {
		t.Errorf("a folder with somebody's file in it: got error %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(c.Output))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the output there is %v, %v", left, err)
	}
}

func TestVerifyFindsEveryFlippedBit(t *testing.T) {
	c := config(t, "")
	mustBuild(t, c)
	for _, test := range []struct {
		file string
		at   int64 // from the start; negative: from the end
	}{
		{manifests.RootFile, 1024}, {manifests.RootFile, 1 << 20}, {manifests.RootFile, -1},
		{manifests.VerityFile, 64}, {manifests.VerityFile, 4096}, {manifests.VerityFile, -1},
		{manifests.UKIFile, 5000}, {manifests.UKIFile, -1},
		{manifests.DiskFile, 440}, {manifests.DiskFile, 512 + 16}, {manifests.DiskFile, -512 + 16}, {manifests.DiskFile, 1 << 20}, {manifests.DiskFile, 98 << 20},
	} {
		path := filepath.Join(c.Output, test.file)
		flip(t, path, test.at)
		checks, err := examine.Verify(t.Context(), c.Output, nil)
		if !errors.Is(err, examine.ErrFaulty) {
			t.Errorf("%s at %d: got %v, %+v", test.file, test.at, err, checks)
		}
		flip(t, path, test.at)
	}
	if checks, err := examine.Verify(t.Context(), c.Output, nil); err != nil {
		t.Errorf("with every bit back in place: %v, %+v", err, checks)
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if at < 0 {
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		at += info.Size()
	}
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := file.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

func TestADirectoryAndAFileOfTwoSourcesConflict(t *testing.T) {
	c := config(t, "  - dir: overlay\n")
	path := filepath.Join(c.Folder, "overlay", "usr")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 10), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Build(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "dir overlay") || !strings.Contains(err.Error(), "appliance.tar") {
		t.Errorf("got error %v: want one that names both sources", err)
	}
}
