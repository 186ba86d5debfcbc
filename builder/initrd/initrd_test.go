package initrd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func config(f files) Config {
	return Config{Files: f, KernelRelease: release, Platform: "qemu", Init: []byte("init program")}
}

func build(t *testing.T, c Config) ([]byte, Report) {
	t.Helper()
	image, report, err := Build(c)
	if err != nil {
		t.Fatal(err)
	}
	return image, report
}

// unpacked lets zstd and cpio unpack an initrd, and gives the folder.
func unpacked(t *testing.T, image []byte) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", "zstd -dc | cpio --quiet --extract --make-directories --preserve-modification-time --no-absolute-filenames")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(image)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("zstd and cpio: %v\n%s", err, out)
	}
	return dir
}

func TestCpioUnpacksWhatTheKernelWill(t *testing.T) {
	image, report := build(t, config(kernel()))
	dir := unpacked(t, image)
	for _, name := range []string{"dev", "proc", "sys", "run", "sysroot"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != fs.ModeDir|0o755 {
			t.Errorf("folder %s: %v, %v", name, info, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "init"))
	if err != nil || info.Mode() != 0o755 || info.ModTime().Unix() != 0 {
		t.Errorf("init: %v, %v", info, err)
	}
	list, err := os.ReadFile(filepath.Join(dir, "modules.list"))
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, name := range report.Modules {
		fmt.Fprintf(&want, "/modules/%s.ko\n", name)
		// Unpacked, and with the signature at the end.
		if got, err := os.ReadFile(filepath.Join(dir, "modules", name+".ko")); err != nil || string(got) != contentOf(name) {
			t.Errorf("module %s: %d bytes, %v", name, len(got), err)
		}
	}
	if string(list) != want.String() {
		t.Errorf("modules.list:\n%s\nwant\n%s", list, want.String())
	}
	if there, _ := os.ReadDir(filepath.Join(dir, "modules")); len(there) != len(report.Modules) {
		t.Errorf("%d modules for %d in the list", len(there), len(report.Modules))
	}
}

func TestMembersAreSortedSoThatTheOrderOfCallsDoesNotShow(t *testing.T) {
	var a, b Archive
	a.Folder("x")
	a.File("x/z", 0o644, []byte("z"))
	a.Link("x/a", "z")
	b.Link("x/a", "z")
	b.File("x/z", 0o644, []byte("z"))
	b.Folder("x")
	var first, second bytes.Buffer
	if err := errors.Join(a.Write(&first), b.Write(&second)); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("the order of calls changes the archive: %v", err)
	}
	cmd := exec.Command("cpio", "--quiet", "-itv")
	cmd.Stdin = &first
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "x/a -> z") {
		t.Errorf("cpio: %v\n%s", err, out)
	}
}

func TestAStreamThatIsTooShortOrTooLongForTheFormatIsRefused(t *testing.T) {
	for size, want := range map[int64]string{5: "unexpected EOF", 4 << 30: "less than 4 GiB"} {
		var a Archive
		a.Stream("x", 0o644, strings.NewReader("four"), size)
		if err := a.Write(io.Discard); err == nil || !strings.Contains(err.Error(), "packing x: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("size %d: got %v, want an error with %q", size, err, want)
		}
	}
}

func TestDependenciesComeFirst(t *testing.T) {
	_, report := build(t, config(kernel()))
	for _, pair := range [][2]string{
		{"dm_mod", "dm_bufio"}, {"dm_bufio", "dm_verity"}, {"libcrc32c", "erofs"}, {"crc_soft", "libcrc32c"},
		{"virtio_ring", "virtio"}, {"virtio", "virtio_pci"}, {"virtio", "virtio_blk"},
	} {
		first, second := slices.Index(report.Modules, pair[0]), slices.Index(report.Modules, pair[1])
		if first < 0 || second < 0 || first > second {
			t.Errorf("%s at %d, %s at %d", pair[0], first, pair[1], second)
		}
	}
	if slices.Contains(report.Modules, "unwanted") {
		t.Error("a module is there that nobody wants")
	}
	if !slices.Equal(report.BuiltIn, []string{"ext4", "sha256_generic"}) {
		t.Errorf("built in: %v", report.BuiltIn)
	}
	if !slices.Contains(report.Absent, "virtio_scsi") {
		t.Errorf("absent: %v", report.Absent)
	}
}

func TestTheModulesOfEncryptionComeOnlyWithIt(t *testing.T) {
	f := kernel()
	f[folder("modules.dep")] += "kernel/dm-crypt.ko:\nkernel/xts.ko:\nkernel/aes_generic.ko:\nkernel/tpm_crb.ko:\n"
	for _, name := range []string{"dm-crypt", "xts", "aes_generic", "tpm_crb"} {
		f[folder("kernel/"+name+".ko")] = contentOf(name)
	}
	_, plain := build(t, config(f))
	encrypted := config(f)
	encrypted.Encryption = true
	_, with := build(t, encrypted)
	for _, name := range []string{"dm_crypt", "xts", "aes_generic", "tpm_crb"} {
		if slices.Contains(plain.Modules, name) || !slices.Contains(with.Modules, name) {
			t.Errorf("%s: without encryption %v, with it %v", name, plain.Modules, with.Modules)
		}
	}
	delete(f, folder("kernel/xts.ko"))
	f[folder("modules.dep")] = strings.ReplaceAll(f[folder("modules.dep")], "kernel/xts.ko:\n", "")
	if _, _, err := Build(encrypted); err == nil || !strings.Contains(err.Error(), "no module xts") {
		t.Errorf("a kernel without xts: error %v, want one that names it", err)
	}
}

func TestSoftDependenciesOnBothSidesAreTaken(t *testing.T) {
	f := kernel()
	f[folder("modules.dep")] += "kernel/drivers/md/dm-after.ko:\n"
	f[folder("kernel/drivers/md/dm-after.ko")] = contentOf("dm_after")
	_, report := build(t, config(f))
	before, after := slices.Index(report.Modules, "dm_mod"), slices.Index(report.Modules, "dm_after")
	if before < 0 || after < before {
		t.Errorf("dm_mod at %d, dm_after at %d", before, after)
	}
}

func TestModulesInACircleAreTakenOnce(t *testing.T) {
	f := kernel()
	f[folder("modules.softdep")] = "softdep dm_mod pre: dm_verity\nsoftdep dm_verity pre: dm_mod\n"
	_, report := build(t, config(f))
	slices.Sort(report.Modules)
	if len(slices.Compact(slices.Clone(report.Modules))) != len(report.Modules) {
		t.Errorf("got %v", report.Modules)
	}
}

func TestEqualInputsGiveEqualBytes(t *testing.T) {
	first, _ := build(t, config(kernel()))
	for range 5 {
		if again, _ := build(t, config(kernel())); !bytes.Equal(first, again) {
			t.Fatal("two initrds of one configuration differ")
		}
	}
}

func TestUnfitInputsAreRefusedByName(t *testing.T) {
	without := func(module string) func(files, *Config) {
		return func(f files, _ *Config) {
			var kept []string
			for _, line := range strings.Split(f[folder("modules.dep")], "\n") {
				if !strings.Contains(line, module+".ko") {
					kept = append(kept, line)
				}
			}
			f[folder("modules.dep")] = strings.Join(kept, "\n")
		}
	}
	for _, test := range []struct {
		want   string
		change func(files, *Config)
	}{
		{"no module virtio_blk, which platform qemu needs: virtio disks", without("virtio_blk")},
		{"no module erofs, which platform qemu needs: the root file system", without("erofs")},
		{"no module sha256_generic or sha256", func(f files, _ *Config) { delete(f, folder("modules.builtin")) }},
		{"no module zfs, which platform qemu needs: the recipe", func(_ files, c *Config) { c.Modules = []string{"zfs"} }},
		{"no module dm_bufio", func(f files, _ *Config) {
			f[folder("modules.dep")] = strings.Replace(f[folder("modules.dep")], "\nkernel/drivers/md/dm-bufio.ko:", "\nkernel/drivers/md/other.ko:", 1)
		}},
		{`platform "amiga": want one of qemu, uefi-generic`, func(_ files, c *Config) { c.Platform = "amiga" }},
		{"init program is empty", func(_ files, c *Config) { c.Init = nil }},
		{"6.2: ", func(_ files, c *Config) { c.KernelRelease = "6.2" }},
		{`release "../x"`, func(_ files, c *Config) { c.KernelRelease = "../x" }},
		{"want one inside", func(f files, _ *Config) { f[folder("modules.dep")] = "../../../etc/shadow.ko:\n" }},
		{"want a path and a colon", func(f files, _ *Config) { f[folder("modules.dep")] = "PK\x03\x04\n" }},
		{"reading module kernel/drivers/md/dm-mod.ko", func(f files, _ *Config) { delete(f, folder("kernel/drivers/md/dm-mod.ko")) }},
		{"want an ELF file", func(f files, _ *Config) { f[folder("kernel/drivers/md/dm-mod.ko")] = "text" }},
		{"unpacking module kernel/fs/erofs/erofs.ko.xz", func(f files, _ *Config) { f[folder("kernel/fs/erofs/erofs.ko.xz")] = "text" }},
		{"unpacking module kernel/fs/overlayfs/overlay.ko.zst", func(f files, _ *Config) {
			whole := f[folder("kernel/fs/overlayfs/overlay.ko.zst")]
			f[folder("kernel/fs/overlayfs/overlay.ko.zst")] = whole[:len(whole)-3]
		}},
	} {
		f := kernel()
		c := config(f)
		test.change(f, &c)
		if _, _, err := Build(c); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error with %q", err, test.want)
		}
	}
}

func TestModuleBombIsRefused(t *testing.T) {
	f := kernel()
	var b bytes.Buffer
	w, _ := zstd.NewWriter(&b)
	chunk := make([]byte, 1<<20)
	for range mostModule/len(chunk) + 1 {
		w.Write(chunk)
	}
	w.Close()
	f[folder("kernel/fs/overlayfs/overlay.ko.zst")] = b.String()
	if _, _, err := Build(config(f)); err == nil || !strings.Contains(err.Error(), "overlay") {
		t.Errorf("got %v", err)
	}
}

func TestTheOneKernelIsFound(t *testing.T) {
	for _, test := range []struct {
		paths         []string
		path, release string
		wants         string // in the error
	}{
		{[]string{"boot/vmlinuz-6.1", "boot/initrd.img-6.1"}, "boot/vmlinuz-6.1", "6.1", ""},
		{[]string{"usr/lib/modules/6.2/vmlinuz", "usr/lib/modules/6.2/modules.dep"}, "usr/lib/modules/6.2/vmlinuz", "6.2", ""},
		{[]string{"boot/vmlinuz-6.2", "usr/lib/modules/6.2/vmlinuz"}, "usr/lib/modules/6.2/vmlinuz", "6.2", ""},
		{[]string{"boot/vmlinuz", "boot/vmlinuz-", "boot/config-6.1", "usr/lib/modules/6.1/modules.dep"}, "", "", "no kernel"},
		{nil, "", "", "no kernel"},
		{[]string{"boot/vmlinuz-6.1", "boot/vmlinuz-6.2"}, "", "", "2 kernels in the image, boot/vmlinuz-6.1, boot/vmlinuz-6.2: want exactly one"},
		{[]string{"boot/vmlinuz-6.1", "usr/lib/modules/6.2/vmlinuz"}, "", "", "boot/vmlinuz-6.1, usr/lib/modules/6.2/vmlinuz"},
	} {
		f := files{}
		for _, p := range test.paths {
			f[p] = ""
		}
		p, r, err := FindKernel(f)
		if p != test.path || r != test.release || (err == nil) != (test.wants == "") || err != nil && !strings.Contains(err.Error(), test.wants) {
			t.Errorf("%v: got %q, %q, %v", test.paths, p, r, err)
		}
	}
}

func FuzzIndex(f *testing.F) {
	k := kernel()
	f.Add(k[folder("modules.dep")], k[folder("modules.builtin")], k[folder("modules.softdep")], k[folder("modules.alias")])
	f.Fuzz(func(t *testing.T, dep, builtin, soft, alias string) {
		x, err := readIndex(files{
			folder("modules.dep"): dep, folder("modules.builtin"): builtin,
			folder("modules.softdep"): soft, folder("modules.alias"): alias,
		}, release)
		if err != nil {
			return
		}
		c, err := x.choose("qemu", platforms["qemu"])
		if err != nil {
			return
		}
		for i, m := range c.order {
			if !fs.ValidPath(m.path) {
				t.Fatalf("path %q", m.path)
			}
			for _, other := range c.order[:i] {
				if other.name == m.name {
					t.Fatalf("module %s twice", m.name)
				}
			}
		}
	})
}
