package ukifile_test

import (
	"bytes"
	"crypto/sha256"
	"debug/pe"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions/ukifile"
	"github.com/proa-os/proa/updater/testhost"
)

const stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub" // of Debian's systemd-boot-efi

// joined is an image that objcopy made of the stub and the sections, in the order in
// which they are given: names and contents in turn.
func joined(t *testing.T, sections ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	args := []string{}
	for i := 0; i < len(sections); i += 2 {
		file := filepath.Join(dir, sections[i])
		if err := os.WriteFile(file, []byte(sections[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--add-section", sections[i]+"="+file,
			"--change-section-vma", sections[i]+"=0x"+hex.EncodeToString([]byte{byte(i + 3), 0, 0}))
	}
	out := filepath.Join(dir, "image.efi")
	if text, err := exec.Command("objcopy", append(args, stub, out)...).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v\n%s", err, text)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func measured(t *testing.T, raw []byte) string {
	t.Helper()
	pcr, err := ukifile.Measurement(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(pcr[:])
}

func TestMeasurementIsWhatSystemdMeasureComputes(t *testing.T) {
	kernel := strings.Repeat("kernel", 3000)
	for name, sections := range map[string][]string{
		"in another order":   {".initrd", "initrd\n", ".pcrpkey", "PEM", ".osrel", "ID=x\n", ".cmdline", "quiet", ".linux", kernel},
		"few":                {".cmdline", "quiet panic=10", ".linux", kernel},
		"every one it knows": {".linux", kernel, ".osrel", "a", ".cmdline", "b", ".initrd", "c", ".splash", "d", ".dtb", "e", ".pcrpkey", "f"},
	} {
		dir, args := t.TempDir(), []string{"calculate", "--bank=sha256", "--phase=:"}
		for i := 0; i < len(sections); i += 2 {
			file := filepath.Join(dir, sections[i])
			if err := os.WriteFile(file, []byte(sections[i+1]), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, "--"+sections[i][1:]+"="+file)
		}
		text, err := exec.Command("/lib/systemd/systemd-measure", args...).Output()
		if err != nil {
			t.Fatalf("systemd-measure: %v", err)
		}
		_, want, _ := strings.Cut(strings.TrimSpace(string(text)), "11:sha256=")
		if got := measured(t, joined(t, sections...)); got != want {
			t.Errorf("%s: PCR 11 is %s: systemd-measure says %s", name, got, want)
		}
	}
}

func TestSectionsThatTheStubDoesNotKnowAreNotMeasured(t *testing.T) {
	base := []string{".cmdline", "quiet", ".linux", "kernel"}
	want := measured(t, joined(t, base...))
	for _, name := range []string{".uname", ".pcrsig", ".ucode", ".mine"} {
		if got := measured(t, joined(t, append([]string{name, "content"}, base...)...)); got != want {
			t.Errorf("%s changes PCR 11", name)
		}
	}
	// Distributions bring what later stubs measure to earlier ones.
	raw := joined(t, append([]string{".uname", "content"}, base...)...)
	version := bytes.Index(raw, []byte("systemd-stub 252.")) + len("systemd-stub ")
	copy(raw[version:], ".uname\x00")
	if got := measured(t, raw); got == want {
		t.Error("a stub that holds the name .uname was taken for one that does not measure it")
	}
}

func TestImagesOfUnknownMeasureAreRefused(t *testing.T) {
	base := []string{".cmdline", "quiet", ".linux", "kernel"}
	change := func(sections []string, old, new string) []byte {
		return bytes.Replace(joined(t, sections...), []byte(old), []byte(new), 1)
	}
	for want, raw := range map[string][]byte{
		"not systemd-stub":       testhost.NewUKI("quiet", []byte("kernel")),
		"a section .profile":     joined(t, append([]string{".profile", "ID=a"}, base...)...),
		"two sections .linux":    change(append([]string{".linuy", "other"}, base...), ".linuy", ".linux"),
		"want all of it":         stretched(joined(t, base...)),
		"where it has 0":         nowhere(joined(t, base...)),
		"no MZ at its start":     []byte(strings.Repeat("ELF", 100)),
		"inside of":              joined(t, base...)[:60_000],
		"has more than 4194304 ": joined(t, append([]string{".mine", strings.Repeat("x", 4<<20)}, base...)...),
	} {
		_, err := ukifile.Measurement(bytes.NewReader(raw), int64(len(raw)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// stretched makes the last section longer in memory than in the file.
func stretched(raw []byte) []byte {
	at := bytes.LastIndex(raw[:1024], []byte(".linux\x00\x00"))
	binary.LittleEndian.PutUint32(raw[at+8:], 1<<20)
	return raw
}

// nowhere has its last section nowhere in the file.
func nowhere(raw []byte) []byte {
	at := bytes.LastIndex(raw[:1024], []byte(".linux\x00\x00"))
	binary.LittleEndian.PutUint32(raw[at+20:], 0)
	return raw
}

func TestOneSectionIsRead(t *testing.T) {
	raw := joined(t, ".pcrpkey", "PEM", ".linux", "kernel")
	got, err := ukifile.ReadSection(bytes.NewReader(raw), int64(len(raw)), ukifile.SectionPCRKey, 3)
	if err != nil || string(got) != "PEM" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := ukifile.ReadSection(bytes.NewReader(raw), int64(len(raw)), ukifile.SectionPCRSignature, 3); !errors.Is(err, ukifile.ErrNoSection) {
		t.Errorf("a missing section: %v", err)
	}
	if _, err := ukifile.ReadSection(bytes.NewReader(raw), int64(len(raw)), ukifile.SectionPCRKey, 2); err == nil || !strings.Contains(err.Error(), "at most 2") {
		t.Errorf("a section over the limit: %v", err)
	}
}

// FuzzMeasurement holds what is measured against sections as debug/pe reads them, and
// the order that systemd's documentation gives.
func FuzzMeasurement(f *testing.F) {
	small := testhost.NewUKI("quiet", []byte("LoaderInfo: systemd-stub 252\x00.cmdline\x00.linux\x00.initrd\x00.osrel\x00"))
	small = bytes.Replace(small, []byte(".linux\x00"), []byte(".text\x00\x00"), 1)
	for _, name := range []string{".cmdline", ".linux\x00\x00", ".osrel\x00\x00", ".initrd\x00", ".pcrsig\x00"} {
		f.Add(bytes.Replace(small, []byte(".cmdline"), []byte(name), 1))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		pcr, err := ukifile.Measurement(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		file, err := pe.NewFile(bytes.NewReader(raw))
		if err != nil {
			return // such as a table of symbols that is not where it should be
		}
		if want := replayed(file, raw); pcr != want {
			t.Errorf("PCR 11 is %x, want %x", pcr, want)
		}
		signed, err := ukifile.Measurement(bytes.NewReader(append(bytes.Clone(raw), "signature"...)), int64(len(raw)+9))
		if err != nil || signed != pcr {
			t.Errorf("signed: PCR 11 is %x, %v, want %x", signed, err, pcr)
		}
	})
}

// replayed is PCR 11 after the sections of a file.
func replayed(file *pe.File, raw []byte) (pcr [sha256.Size]byte) {
	order := []string{".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey"}
	header := binary.LittleEndian.Uint32(raw[0x3c:]) + 4
	table := raw[header+20+uint32(file.SizeOfOptionalHeader):]
	contents, stub := map[string][]byte{}, []byte{}
	for i, section := range file.Sections {
		name := strings.TrimRight(string(table[40*i:][:8]), "\x00") // debug/pe would follow a name to the table of strings
		// Its Data wants the padding, too, which may be cut off.
		from, length := int64(section.Offset), int64(min(section.VirtualSize, section.Size))
		if from == 0 || from+length > int64(len(raw)) {
			continue
		}
		contents[name] = raw[from : from+length]
		if !slices.Contains(order, name) && name != ".pcrsig" {
			stub = append(append(stub, contents[name]...), 0xff)
		}
	}
	for _, name := range order {
		if len(contents[name]) > 0 && bytes.Contains(stub, []byte(name+"\x00")) {
			for _, event := range [][]byte{[]byte(name + "\x00"), contents[name]} {
				sum := sha256.Sum256(event)
				pcr = sha256.Sum256(append(pcr[:], sum[:]...))
			}
		}
	}
	return pcr
}
