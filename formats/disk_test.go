package formats

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
)

func TestQemuImgFindsTheDiskInItsFormats(t *testing.T) {
	t.Parallel()
	folder := newRelease(t)
	disk := filepath.Join(folder, manifests.DiskFile)
	raw, err := os.Stat(disk)
	check(t, err)
	for format, driver := range map[Format]string{QCOW2: "qcow2", VHD: "vpc", VMDK: "vmdk", Raw: "raw"} {
		image := converted(t, folder, format)
		if out := run(t, "qemu-img", "compare", "-f", "raw", "-F", driver, disk, image); !strings.Contains(out, "identical") {
			t.Errorf("%s: qemu-img compare: %s", format, out)
		}
		var info struct {
			Size int64 `json:"virtual-size"`
		}
		check(t, json.Unmarshal([]byte(run(t, "qemu-img", "info", "--output=json", "-f", driver, image)), &info))
		if info.Size != raw.Size() || info.Size%(1<<20) != 0 {
			t.Errorf("%s: a disk of %d bytes, want %d", format, info.Size, raw.Size())
		}
		if format == QCOW2 || format == VMDK { // the others have nothing that could be checked
			if out := run(t, "qemu-img", "check", "-f", driver, image); !strings.Contains(out, "No errors") {
				t.Errorf("%s: qemu-img check: %s", format, out)
			}
		}
	}
}

func TestTheFooterOfAVHDIsWhole(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(converted(t, newRelease(t), VHD))
	check(t, err)
	footer := content[len(content)-footerSize:]
	sum := uint32(0)
	for i, b := range footer {
		if i < footerChecksum || i >= footerChecksum+4 {
			sum += uint32(b)
		}
	}
	stored := uint32(footer[64])<<24 | uint32(footer[65])<<16 | uint32(footer[66])<<8 | uint32(footer[67])
	if stored != ^sum || bytes.Equal(footer[footerUUID:footerUUID+16], make([]byte, 16)) {
		t.Errorf("checksum %#x, want %#x; UUID %x", stored, ^sum, footer[footerUUID:footerUUID+16])
	}
	// qem2 is whose size is exact, by what Azure and QEMU read.
	if creator, kind := string(footer[28:32]), footer[63]; creator != "qem2" || kind != 2 {
		t.Errorf("made by %q, of type %d: want qem2 and 2, a fixed disk", creator, kind)
	}
}

func TestZstdUnpacksTheDisk(t *testing.T) {
	t.Parallel()
	folder := newRelease(t)
	want, err := os.ReadFile(filepath.Join(folder, manifests.DiskFile))
	check(t, err)
	got, err := exec.Command("zstd", "-dc", converted(t, folder, Zstd)).Output()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want the %d of the disk", len(got), err, len(want))
	}
}

func TestCloudsGetWholeUnitsWithATableToTheEnd(t *testing.T) {
	t.Parallel()
	folder := newRelease(t)
	archive := converted(t, folder, GCE)
	dir := t.TempDir()
	if listed := run(t, "tar", "-xvzSf", archive, "-C", dir); listed != "disk.raw\n" {
		t.Errorf("the archive has %q", listed)
	}
	disk := filepath.Join(dir, manifests.DiskFile)
	if out := run(t, "sgdisk", "-v", disk); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	// The last partition ends where there is no room for another MiB.
	if out := run(t, "sgdisk", "-i", "7", disk); !strings.Contains(out, "Last sector: 260095 ") || !strings.Contains(out, "'var'") {
		t.Errorf("sgdisk -i 7: %s", out)
	}
	if info, err := os.Stat(disk); err != nil || info.Size() != testUnit {
		t.Errorf("the disk: %+v, %v", info, err)
	}
	if out := run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", disk, converted(t, folder, AWS)); !strings.Contains(out, "identical") {
		t.Errorf("the image for AWS is another one: %s", out)
	}
	// All that is not the table is as it was, and nothing is where the table was.
	wide, err := os.Open(disk)
	check(t, err)
	defer wide.Close()
	raw, err := os.ReadFile(filepath.Join(folder, manifests.DiskFile))
	check(t, err)
	content := make([]byte, len(raw)+1<<20)
	_, err = io.ReadFull(wide, content)
	check(t, err)
	const table = 1 << 20
	if !bytes.Equal(content[table:len(raw)-table], raw[table:len(raw)-table]) {
		t.Error("a partition has other content than on the disk")
	}
	if rest := content[len(raw)-table:]; len(bytes.Trim(rest, "\x00")) > 0 {
		t.Error("something of the old table is left in var")
	}
	header, err := exec.Command("sh", "-c", "zcat "+archive+" | head -c 512").Output()
	if err != nil || !bytes.Equal(header[257:265], []byte("ustar  \x00")) {
		t.Errorf("the archive is not in the old GNU format: %q, %v", header[257:265], err)
	}
}

func TestAnOVADescribesAMachineWithTheDisk(t *testing.T) {
	t.Parallel()
	folder := newRelease(t)
	archive := converted(t, folder, OVA)
	var names []string
	dir := t.TempDir()
	file, err := os.Open(archive)
	check(t, err)
	defer file.Close()
	for in := tar.NewReader(file); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		check(t, err)
		names = append(names, h.Name)
	}
	const name = "edge-1.0.0-amd64"
	if want := []string{name + ".ovf", name + ".mf", name + "-disk1.vmdk"}; !slices.Equal(names, want) {
		t.Fatalf("it has %q, want %q in this order", names, want)
	}
	run(t, "tar", "-xf", archive, "-C", dir)
	run(t, "xmllint", "--noout", filepath.Join(dir, names[0]))
	digests, err := os.ReadFile(filepath.Join(dir, names[1]))
	check(t, err)
	for _, i := range []int{0, 2} {
		sum, _, _ := strings.Cut(run(t, "sha256sum", filepath.Join(dir, names[i])), " ")
		if want := "SHA256(" + names[i] + ")= " + sum + "\n"; !strings.Contains(string(digests), want) {
			t.Errorf("%s: no line %q in\n%s", names[1], want, digests)
		}
	}
	xpath := func(path string) string {
		return strings.TrimSpace(run(t, "xmllint", "--xpath", "string("+path+")", filepath.Join(dir, names[0])))
	}
	info, err := os.Stat(filepath.Join(dir, names[2]))
	check(t, err)
	disk, err := os.Stat(filepath.Join(folder, manifests.DiskFile))
	check(t, err)
	for path, want := range map[string]string{
		"//*[local-name()='File']/@*[local-name()='href']":                                       names[2],
		"//*[local-name()='File']/@*[local-name()='size']":                                       fmt.Sprint(info.Size()),
		"//*[local-name()='Disk']/@*[local-name()='capacity']":                                   fmt.Sprint(disk.Size()),
		"//*[local-name()='Config'][@*[local-name()='key']='firmware']/@*[local-name()='value']": "efi",
	} {
		if got := xpath(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	vmdk := filepath.Join(dir, names[2])
	if out := run(t, "qemu-img", "compare", "-f", "raw", "-F", "vmdk", filepath.Join(folder, manifests.DiskFile), vmdk); !strings.Contains(out, "identical") {
		t.Errorf("the disk in it: %s", out)
	}
}

// qemu-img writes the id without leading zeros.
func TestContentIdsOfAllLengthsAreReplaced(t *testing.T) {
	t.Parallel()
	path := converted(t, newRelease(t), VMDK)
	whole, err := os.ReadFile(path)
	check(t, err)
	at := bytes.Index(whole, []byte("\nCID="))
	for digits := 1; digits <= 8; digits++ {
		content := bytes.Clone(whole)
		text := content[at+5 : at+1500]
		copy(text, append(append(bytes.Repeat([]byte("f"), digits), text[8:]...), make([]byte, 8-digits)...))
		check(t, os.WriteFile(path, content, 0o644))
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		check(t, err)
		err = setContentID(file, binary.BigEndian.Uint32(random(8, 32)))
		file.Close()
		check(t, err)
		wantContent(t, path, whole)
	}
	check(t, os.WriteFile(path, bytes.Replace(whole, []byte("\nCID="), []byte("\nDIC="), 1), 0o644))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	defer file.Close()
	if err := setContentID(file, 1); err == nil || !strings.Contains(err.Error(), "has no CID") {
		t.Errorf("got %v, want an error with %q", err, "has no CID")
	}
}
