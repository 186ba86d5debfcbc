package uki

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sbatLine = "proa.edge,1,edge,kernel-image,1.0.0,https://os.example.org\n"

func TestSBATOfStubKernelAndProductIsMerged(t *testing.T) {
	c, dir := testConfig(t), t.TempDir()
	c.SBAT = []byte(sbatLine)
	kernel := tinyStub() // with its only section for SBAT
	at := bytes.Index(kernel, []byte(".text"))
	copy(kernel[at:], ".sbat")
	kernelLines := "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\nlinux,1,x"
	kernel = append(kernel[:960], kernelLines...)
	binary.LittleEndian.PutUint32(kernel[at+8:], uint32(len(kernelLines)))
	binary.LittleEndian.PutUint32(kernel[at+16:], uint32(len(kernelLines)))
	c.Kernel = kernel

	file, out := filepath.Join(dir, "image.efi"), filepath.Join(dir, "sbat")
	if err := os.WriteFile(file, assemble(t, c), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "objcopy", "-O", "binary", "--only-section=.sbat", file, out)
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, want := range []string{"sbat,1,SBAT Version", "systemd,1,", "systemd.debian,1,", "linux,1,x", strings.TrimSuffix(sbatLine, "\n")} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d is not %q:\n%s", i+1, want, text)
		}
	}
	if len(lines) != 5 {
		t.Errorf("more than each line once:\n%s", text)
	}
	// The stub's other sections have stayed what they were, without gaps between them.
	for _, name := range []string{".text", ".data", ".rela", ".sdmagic"} {
		var contents [2][]byte
		for i, from := range []string{file, stubPath} {
			own := filepath.Join(dir, "own")
			run(t, "objcopy", "-O", "binary", "--only-section="+name, from, own)
			contents[i], _ = os.ReadFile(own)
		}
		if len(contents[0]) == 0 || !bytes.Equal(contents[0], contents[1]) {
			t.Errorf("section %s of the stub changed", name)
		}
	}
	if out := run(t, "sbverify", "--list", file); strings.Contains(out, "warning") {
		t.Errorf("sbverify warns:\n%s", out)
	}
}

func TestWithoutLinesTheStubsSBATStaysWhereItIs(t *testing.T) {
	c := testConfig(t)
	u, err := Parse(bytes.NewReader(assemble(t, c)), int64(len(assemble(t, c))))
	if err != nil {
		t.Fatal(err)
	}
	if name := u.Sections[6].Name; name != SectionSBAT {
		t.Errorf("section 6 is %s", name)
	}
	c.SBAT = bytes.Repeat([]byte("x"), 1<<20)
	if _, err := Assemble(c); err == nil || !strings.Contains(err.Error(), "lines for .sbat of 1048576 bytes") {
		t.Errorf("1 MiB of lines: %v", err)
	}
}
