package uki

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions/ukifile"
)

const stubPath = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub" // of Debian's systemd-boot-efi

func realStub(t testing.TB) []byte {
	t.Helper()
	stub, err := os.ReadFile(stubPath)
	if err != nil {
		t.Fatalf("install systemd-boot-efi: %v", err)
	}
	return stub
}

func testConfig(t testing.TB) Config {
	return Config{
		Stub:        realStub(t),
		Kernel:      bytes.Repeat([]byte("kernel\x00"), 100_003),
		Initrd:      bytes.Repeat([]byte("initrd"), 3_001),
		CommandLine: "proa.roothash=0123 panic=30 name=\"Füße und Köpfe\"",
		OSRelease:   []byte("ID=proa\nVERSION_ID=\"1.0.0\"\n"),
		Uname:       "6.1.0-56-cloud-amd64",
	}
}

func assemble(t testing.TB, c Config) []byte {
	t.Helper()
	image, err := Assemble(c)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestBinutilsFindEverySectionAsItWasGiven(t *testing.T) {
	c, dir := testConfig(t), t.TempDir()
	file := filepath.Join(dir, "image.efi")
	if err := os.WriteFile(file, assemble(t, c), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{
		SectionOSRelease: c.OSRelease, SectionCommandLine: []byte(c.CommandLine), SectionUname: []byte(c.Uname),
		SectionInitrd: c.Initrd, SectionKernel: c.Kernel,
	} {
		out := filepath.Join(dir, name)
		run(t, "objcopy", "-O", "binary", "--only-section="+name, file, out)
		if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
			t.Errorf("objcopy gives %d bytes of %s, want %d (%v)", len(got), name, len(want), err)
		}
	}
	// The stub's own sections must have stayed what they were.
	for _, name := range []string{".text", ".data", ".rela", ".sbat", ".sdmagic"} {
		var contents [2][]byte
		for i, from := range []string{file, stubPath} {
			out := filepath.Join(dir, "own")
			run(t, "objcopy", "-O", "binary", "--only-section="+name, from, out)
			contents[i], _ = os.ReadFile(out)
		}
		if len(contents[0]) == 0 || !bytes.Equal(contents[0], contents[1]) {
			t.Errorf("section %s of the stub changed", name)
		}
	}
	if out := run(t, "objdump", "-p", file); !regexp.MustCompile(`Time/Date\s+Thu Jan  1 00:00:00 1970`).MatchString(out) {
		t.Errorf("objdump -p shows a time:\n%.600s", out)
	}
}

func TestSignedImageVerifiesAndStillParses(t *testing.T) {
	c, dir := testConfig(t), t.TempDir()
	file, signed := filepath.Join(dir, "image.efi"), filepath.Join(dir, "signed.efi")
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	if err := os.WriteFile(file, assemble(t, c), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "sbverify", "--list", file); strings.Contains(out, "warning") {
		t.Errorf("sbverify warns of the unsigned image:\n%s", out)
	}
	run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2", "-keyout", key, "-out", cert)
	if out := run(t, "sbsign", "--key", key, "--cert", cert, "--output", signed, file); strings.Contains(out, "warning") {
		t.Errorf("sbsign warns:\n%s", out)
	}
	if out := run(t, "sbverify", "--cert", cert, signed); !strings.Contains(out, "Signature verification OK") {
		t.Errorf("sbverify: %s", out)
	}
	content, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	u, err := Parse(bytes.NewReader(content), int64(len(content)))
	if err != nil || !u.Signed || u.CommandLine != c.CommandLine {
		t.Errorf("parsing the signed image: signed %v, command line %q, %v", u.Signed, u.CommandLine, err)
	}
}

func TestParseGivesBackWhatAssembleTook(t *testing.T) {
	c := testConfig(t)
	image := assemble(t, c)
	u, err := Parse(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	if u.CommandLine != c.CommandLine || !bytes.Equal(u.OSRelease, c.OSRelease) || u.Uname != c.Uname || u.Signed || u.Arch != "amd64" {
		t.Errorf("got %q, %q, %q, signed %v, %s", u.CommandLine, u.OSRelease, u.Uname, u.Signed, u.Arch)
	}
	for name, want := range map[string][]byte{SectionInitrd: c.Initrd, SectionKernel: c.Kernel} {
		section, err := u.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(section); err != nil || !bytes.Equal(got, want) {
			t.Errorf("section %s: %d bytes, want %d (%v)", name, len(got), len(want), err)
		}
	}
	if _, err := u.Open(".pcrsig"); !errors.Is(err, ErrNoSection) {
		t.Errorf("opening a missing section: %v", err)
	}
	kernel, other := u.Sections[len(u.Sections)-1], u.Sections[len(u.Sections)-2]
	if kernel.Name != SectionKernel || int64(kernel.Address) < int64(other.Address)+other.Size || kernel.Address%pageSize != 0 {
		t.Errorf("the kernel must come last in memory, on a page: %+v after %+v", kernel, other)
	}
}

func TestKeyAndSignaturesOfMeasurementsComeBeforeTheKernel(t *testing.T) {
	c := testConfig(t)
	c.PCRKey, c.PCRSignature = []byte("key"), []byte("{}")
	image := assemble(t, c)
	u, err := Parse(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range u.Sections[len(u.Sections)-7:] {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != ".osrel .cmdline .uname .pcrpkey .pcrsig .initrd .linux" {
		t.Errorf("sections %s", got)
	}
	for name, want := range map[string][]byte{SectionPCRKey: c.PCRKey, SectionPCRSignature: c.PCRSignature} {
		if got, err := ukifile.ReadSection(bytes.NewReader(image), int64(len(image)), name, 16); err != nil || !bytes.Equal(got, want) {
			t.Errorf("section %s is %q, %v", name, got, err)
		}
	}
	signed, err := ukifile.Measurement(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	c.PCRSignature = nil
	image = assemble(t, c)
	if unsigned, err := ukifile.Measurement(bytes.NewReader(image), int64(len(image))); err != nil || unsigned != signed {
		t.Errorf("a signature changes what is measured (%v)", err)
	}
	c.PCRKey = make([]byte, 1<<20)
	if _, err := Assemble(c); err == nil || !strings.Contains(err.Error(), "PCR key of 1048576 bytes") {
		t.Errorf("a key of 1 MiB: %v", err)
	}
}

func TestChecksumIsTheOneThatBinutilsCompute(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy.efi")
	run(t, "objcopy", stubPath, file) // writes the whole file anew, checksum and all
	image, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := readHeaders(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	field := image[h.optional+optionalChecksum:]
	want := binary.LittleEndian.Uint32(field)
	binary.LittleEndian.PutUint32(field, 0)
	if got := checksum(image); got != want {
		t.Errorf("checksum %#x, want %#x", got, want)
	}
}

func TestStubOfAnotherArchitectureIsTaken(t *testing.T) {
	c := testConfig(t)
	h, err := readHeaders(bytes.NewReader(c.Stub), int64(len(c.Stub)))
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(c.Stub[h.pe+4:], machineARM64)
	image := assemble(t, c)
	if u, err := Parse(bytes.NewReader(image), int64(len(image))); err != nil || u.Arch != "arm64" {
		t.Errorf("got %q, %v", u.Arch, err)
	}
}

// Linkers leave symbols there; the signature's hash is defined for sections
// without gaps.
func TestWhatIsBehindTheStubsSectionsIsDropped(t *testing.T) {
	c := testConfig(t)
	want := assemble(t, c)
	c.Stub = append(c.Stub, strings.Repeat("more", 1000)...)
	if !bytes.Equal(assemble(t, c), want) {
		t.Error("data behind the stub's sections changed the image")
	}
	u, err := Parse(bytes.NewReader(want), int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range u.Sections[1:] {
		if before := u.Sections[i]; s.Offset-before.Offset-before.Size >= 512 {
			t.Errorf("a gap of %d bytes before section %s", s.Offset-before.Offset-before.Size, s.Name)
		}
	}
}

func TestEqualInputsGiveEqualBytes(t *testing.T) {
	if !bytes.Equal(assemble(t, testConfig(t)), assemble(t, testConfig(t))) {
		t.Error("two images of one configuration differ")
	}
}

func TestUnfitInputsAreRefusedByName(t *testing.T) {
	image := assemble(t, testConfig(t))
	for _, test := range []struct {
		want   string
		change func(*Config)
	}{
		{"stub is empty", func(c *Config) { c.Stub = nil }},
		{"kernel is empty", func(c *Config) { c.Kernel = nil }},
		{"command line is empty", func(c *Config) { c.CommandLine = "" }},
		{"printable text", func(c *Config) { c.CommandLine = "quiet\nproa.roothash=" }},
		{"printable text", func(c *Config) { c.CommandLine = "quiet\x00" }},
		{"printable text", func(c *Config) { c.Uname = "6.1\xff" }},
		{"want MZ", func(c *Config) { c.Stub = []byte(strings.Repeat("ELF", 100)) }},
		{"the stub has one", func(c *Config) { c.Stub = image }},
		{"no room", func(c *Config) {
			// As many sections as fill the header area but for three.
			h, _ := readHeaders(bytes.NewReader(c.Stub), int64(len(c.Stub)))
			room := (len(h.raw) - h.table) / sectionHeaderSize
			last := h.table + (len(h.sections)-1)*sectionHeaderSize
			for i := len(h.sections); i < room-3; i++ {
				at := c.Stub[h.table+i*sectionHeaderSize:]
				copy(at, c.Stub[last:last+sectionHeaderSize])
				at[1] = byte('A' + i)
				binary.LittleEndian.PutUint32(at[12:], 0x1a000+uint32(i)*0x1000)
			}
			binary.LittleEndian.PutUint16(c.Stub[h.pe+6:], uint16(room-3))
		}},
		{"is signed", func(c *Config) {
			h, _ := readHeaders(bytes.NewReader(c.Stub), int64(len(c.Stub)))
			binary.LittleEndian.PutUint32(c.Stub[h.optional+optionalDirectories+8*securityDirectory+4:], 8)
		}},
		{"16385 bytes", func(c *Config) { c.CommandLine = strings.Repeat("x", mostCommandLine+1) }},
	} {
		c := testConfig(t)
		test.change(&c)
		if _, err := Assemble(c); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error with %q", err, test.want)
		}
	}
}

func TestImageCutShortIsRefused(t *testing.T) {
	image := assemble(t, testConfig(t))
	for size := len(image) - 1; size >= 0; size -= 1 + size/50 {
		if _, err := Parse(bytes.NewReader(image[:size]), int64(size)); err == nil {
			t.Errorf("the first %d of %d bytes were taken", size, len(image))
		}
	}
}

func TestTwoSectionsOfOneNameAreRefused(t *testing.T) {
	image := assemble(t, testConfig(t))
	h, err := readHeaders(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	copy(image[h.table:], ".cmdline") // was the stub's .text
	if _, err := Parse(bytes.NewReader(image), int64(len(image))); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("got %v", err)
	}
}
