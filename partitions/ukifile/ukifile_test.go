package ukifile_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions/ukifile"
	"github.com/proa-os/proa/updater/testhost"
)

func TestCommandLineOfAnObjcopiedStubIsRead(t *testing.T) {
	const line = "quiet proa.roothash=00 panic=30"
	dir := t.TempDir()
	for name, content := range map[string]string{"cmdline": line + "\n\x00", "linux": strings.Repeat("kernel", 1000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "uki.efi")
	cmd := exec.Command("objcopy",
		"--add-section", ".cmdline="+dir+"/cmdline", "--change-section-vma", ".cmdline=0x30000",
		"--add-section", ".linux="+dir+"/linux", "--change-section-vma", ".linux=0x2000000",
		"/usr/lib/systemd/boot/efi/linuxx64.efi.stub", out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v\n%s", err, text)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ukifile.CommandLine(bytes.NewReader(raw), int64(len(raw)))
	if err != nil || got != line {
		t.Errorf("read %q, %v: want %q", got, err, line)
	}
}

func TestUnfitKernelImagesAreRefusedByName(t *testing.T) {
	whole := testhost.NewUKI("quiet", []byte("kernel"))
	change := func(change func([]byte)) []byte {
		raw := bytes.Clone(whole)
		change(raw)
		return raw
	}
	const second = 64 + 24 + 40
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"empty":         {nil, "unexpected EOF"},
		"no MZ":         {change(func(r []byte) { r[0] = 0 }), "no MZ"},
		"header beyond": {change(func(r []byte) { binary.LittleEndian.PutUint32(r[0x3c:], 1<<31) }), "PE header at"},
		"no PE":         {change(func(r []byte) { r[64] = 0 }), "no PE header"},
		"many sections": {change(func(r []byte) { binary.LittleEndian.PutUint16(r[70:], 0xffff) }), "65535 sections"},
		"no cmdline":    {change(func(r []byte) { r[89] = 'x' }), "no section .cmdline"},
		"two cmdlines":  {change(func(r []byte) { copy(r[second:], ".cmdline") }), "two sections"},
		"profiles":      {change(func(r []byte) { copy(r[second:], ".profile") }), "several profiles"},
		"long cmdline": {change(func(r []byte) {
			binary.LittleEndian.PutUint32(r[88+8:], 1<<30)
			binary.LittleEndian.PutUint32(r[88+16:], 1<<30)
		}), "section .cmdline of 1073741824 bytes"},
		"cmdline beyond": {change(func(r []byte) { binary.LittleEndian.PutUint32(r[88+20:], 0xfffffff0) }), "inside of"},
		"zero inside":    {testhost.NewUKI("a\x00b", nil), "is not text"},
		"cut":            {whole[:100], "unexpected EOF"},
	} {
		_, err := ukifile.CommandLine(bytes.NewReader(test.raw), int64(len(test.raw)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func FuzzCommandLine(f *testing.F) {
	f.Add(testhost.NewUKI("quiet", []byte("kernel")))
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		line, err := ukifile.CommandLine(bytes.NewReader(raw), int64(len(raw)))
		if err == nil && (len(line) > len(raw) || strings.ContainsRune(line, 0)) {
			t.Errorf("read %q", line)
		}
	})
}
