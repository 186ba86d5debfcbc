package formats

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
)

// Other programs read the image as a disk, as a disc, and as a boot partition; none
// of them shares code with what made the table and the file system.
func TestAnISOIsADiscAndADisk(t *testing.T) {
	t.Parallel()
	folder := newRelease(t)
	iso, dir := converted(t, folder, ISO, "proa.install=auto"), t.TempDir()
	if out := run(t, "sgdisk", "-v", iso); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	content, err := os.ReadFile(iso)
	check(t, err)
	if len(content)%2048 != 0 {
		t.Errorf("%d bytes: want whole sectors of a disc", len(content))
	}
	var begin [4]int64
	for number, want := range []struct{ name, kind string }{
		1: {"esp", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"},
		2: {"live-root", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"},
		3: {"live-verity", "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"},
	} {
		if number == 0 {
			continue
		}
		out := run(t, "sgdisk", "-i", strconv.Itoa(number), iso)
		if !strings.Contains(out, "Partition name: '"+want.name+"'") || !strings.Contains(out, want.kind) {
			t.Errorf("partition %d: want %s of type %s\n%s", number, want.name, want.kind, out)
		}
		first := regexp.MustCompile(`First sector: (\d+)`).FindStringSubmatch(out)
		begin[number], err = strconv.ParseInt(first[1], 10, 64)
		check(t, err)
		if begin[number]%4 != 0 {
			t.Errorf("partition %d begins at sector %d: want a whole sector of a disc", number, begin[number])
		}
	}
	for number, want := range [][]byte{2: testRoot, 3: testHashes} {
		if at := begin[number] * 512; !bytes.Equal(content[at:at+int64(len(want))], want) {
			t.Errorf("partition %d has other content", number)
		}
	}

	// The boot catalogue: UEFI, no emulation, at the boot partition. Without "stdio:"
	// xorriso refuses a file below /dev, as in /dev/shm.
	out := run(t, "xorriso", "-indev", "stdio:"+iso, "-report_el_torito", "plain")
	entry := regexp.MustCompile(`El Torito boot img :\s+1\s+UEFI\s+y\s+none\s+0x0000\s+0x00\s+\d+\s+(\d+)`).FindStringSubmatch(out)
	if entry == nil || entry[1] != strconv.FormatInt(begin[1]/4, 10) {
		t.Errorf("the boot catalogue does not name sector %d:\n%s", begin[1]/4, out)
	}
	run(t, "xorriso", "-indev", "stdio:"+iso, "-osirrox", "on", "-extract", "/", filepath.Join(dir, "files"))
	manifest, err := os.ReadFile(filepath.Join(folder, manifests.ReleaseFile))
	check(t, err)
	wantContent(t, filepath.Join(dir, "files", manifests.ReleaseFile), manifest)
	// All of it is volume: what the boot catalogue gives no length goes to its end.
	if out := run(t, "isosize", iso); out != fmt.Sprintln(len(content)) {
		t.Errorf("isosize: %s, want %d", out, len(content))
	}
	if out := run(t, "blkid", "-o", "value", "-s", "LABEL", iso); out != "EDGE_1_0_0_AMD64\n" {
		t.Errorf("blkid finds the label %q", out)
	}

	esp := filepath.Join(dir, "esp.img")
	check(t, os.WriteFile(esp, content[begin[1]*512:begin[2]*512], 0o644))
	run(t, "fsck.vfat", "-n", esp)
	kernel := filepath.Join(dir, "live.efi")
	run(t, "mcopy", "-i", esp, "::/EFI/BOOT/BOOTX64.EFI", kernel)
	brought := wantLiveKernel(t, kernel, " quiet proa.live proa.install=auto")
	wantBrought(t, brought, folder, manifests.ReleaseFile, manifests.UKIFile, manifests.LoaderFile, manifests.LayoutFile)
}

func TestABootSetIsWholeForFirmwareAndForIPXE(t *testing.T) {
	t.Parallel()
	folder := newRelease(t)
	set := converted(t, folder, PXE, "console=ttyS1")
	entries, err := os.ReadDir(set)
	check(t, err)
	if len(entries) != len(bootSet()) {
		t.Errorf("it has %v, want %v", entries, bootSet())
	}
	const words = " quiet proa.live console=ttyS1"
	brought := wantLiveKernel(t, filepath.Join(set, pxeUKI), words)
	wantBrought(t, brought, folder, manifests.ReleaseFile, manifests.UKIFile, manifests.LoaderFile, manifests.LayoutFile,
		manifests.RootFile, manifests.VerityFile)
	wantContent(t, filepath.Join(set, pxeKernel), testKernel)
	initrd := section(t, filepath.Join(set, pxeUKI), ".initrd")
	wantContent(t, filepath.Join(set, pxeInitrd), initrd)
	script, err := os.ReadFile(filepath.Join(set, pxeScript))
	check(t, err)
	line := string(section(t, filepath.Join(set, pxeUKI), ".cmdline"))
	for _, want := range []string{"#!ipxe\n", "\nkernel vmlinuz initrd=initrd " + line + "\n", "\ninitrd initrd\n", "\nboot\n"} {
		if !strings.Contains(string(script), want) {
			t.Errorf("the script has no %q:\n%s", want, script)
		}
	}
}

// section lets binutils take a section out of a kernel image.
func section(t *testing.T, image, name string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "section")
	run(t, "objcopy", "-O", "binary", "--only-section="+name, image, out)
	content, err := os.ReadFile(out)
	check(t, err)
	return content
}

// wantLiveKernel checks that a kernel image is the release's with another command
// line and something behind the initrd, which it unpacks and returns.
func wantLiveKernel(t *testing.T, image, words string) (folder string) {
	t.Helper()
	run(t, "sbverify", "--list", image)
	if line := string(section(t, image, ".cmdline")); !strings.HasPrefix(line, "proa.roothash=") || !strings.HasSuffix(line, words) {
		t.Errorf("command line %q: want it to end with %q", line, words)
	}
	if !bytes.Equal(section(t, image, ".linux"), testKernel) || string(section(t, image, ".osrel")) != "ID=test\n" {
		t.Error("the kernel or os-release is not the release's")
	}
	initrd := section(t, image, ".initrd")
	if !bytes.HasPrefix(initrd, testInitrd) {
		t.Fatal("the initrd does not begin with the release's")
	}
	folder = t.TempDir()
	cmd := exec.Command("sh", "-c", "zstd -dc | cpio --quiet --extract --no-absolute-filenames")
	cmd.Dir, cmd.Stdin = folder, bytes.NewReader(initrd[(len(testInitrd)+3)/4*4:])
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("zstd and cpio: %v\n%s", err, out)
	}
	return filepath.Join(folder, liveFolder)
}

// wantBrought checks what an initrd brings: files of the release, the installer,
// and its unit.
func wantBrought(t *testing.T, brought, folder string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(brought)
	check(t, err)
	var there []string
	for _, entry := range entries {
		there = append(there, entry.Name())
	}
	want := append(slices.Clone(names), "proa", "units")
	slices.Sort(want)
	if !slices.Equal(there, want) {
		t.Errorf("the initrd brings %q, want %q", there, want)
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(folder, name))
		check(t, err)
		wantContent(t, filepath.Join(brought, name), content)
	}
	wantContent(t, filepath.Join(brought, "proa"), installer)
	if info, err := os.Stat(filepath.Join(brought, "proa")); err != nil || info.Mode() != 0o755 {
		t.Errorf("the installer: %v, %v", info, err)
	}
	unit := filepath.Join(brought, "units", "multi-user.target.wants", "proa-install.service")
	if info, err := os.Lstat(unit); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the unit is not enabled by a link: %v", err)
	}
	content, err := os.ReadFile(unit)
	if err != nil || !bytes.Contains(content, []byte("\nExecStart=/run/proa/live/proa install --unattended\n")) {
		t.Errorf("the unit: %v\n%s", err, content)
	}
}

func TestSystemdFindsNoFaultInTheUnits(t *testing.T) {
	t.Parallel()
	content, err := units.ReadFile("units/proa-install.service")
	check(t, err)
	path := filepath.Join(t.TempDir(), "proa-install.service")
	check(t, os.WriteFile(path, bytes.ReplaceAll(content, []byte("/run/proa/live/proa"), []byte("/bin/true")), 0o644))
	if out := run(t, "systemd-analyze", "verify", "--man=no", path); out != "" {
		t.Error(out)
	}
}

// sbsign signs and sbverify verifies: what is on the medium is what was signed last.
func TestTheKernelImageOfALiveSystemIsSigned(t *testing.T) {
	t.Parallel()
	folder, dir := newRelease(t), t.TempDir()
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2", "-keyout", key, "-out", cert)
	for _, format := range []Format{ISO, PXE} {
		sign := func(program []byte) ([]byte, error) {
			in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
			check(t, os.WriteFile(in, program, 0o644))
			run(t, "sbsign", "--key", key, "--cert", cert, "--output", out, in)
			return os.ReadFile(out)
		}
		made, err := tryConvert(t.Context(), Config{Release: folder, Format: format, Output: filepath.Join(t.TempDir(), "out"), Sign: sign})
		check(t, err)
		image := filepath.Join(made, pxeUKI)
		if format == ISO {
			first := regexp.MustCompile(`First sector: (\d+)`).FindStringSubmatch(run(t, "sgdisk", "-i", "1", made))
			image = filepath.Join(dir, "iso.efi")
			run(t, "mcopy", "-i", made+"@@"+first[1]+"S", "::/EFI/BOOT/BOOTX64.EFI", image)
		}
		if out := run(t, "sbverify", "--cert", cert, image); !strings.Contains(out, "Signature verification OK") {
			t.Errorf("%s: sbverify: %s", format, out)
		}
	}
}

// The partition's file ends with a MiB, and its file system must not reach further.
func TestABootPartitionIsOfWholeMiBWhateverTheKernelImage(t *testing.T) {
	for _, image := range []int64{1, 61 << 20, 62<<20 + 1, 63<<20 + 12345, 700<<20 + 1} {
		if size := liveESPSize(image); size%partitions.Alignment != 0 || size < image+partitions.Alignment {
			t.Errorf("%d bytes for a kernel image of %d", size, image)
		}
	}
}
