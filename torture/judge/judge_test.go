package judge

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// image is a disk in memory.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m).ReadAt(p, off) }
func (m memory) Size() int64                             { return int64(len(m)) }

var fingerprints = maphash.MakeSeed()

func (m memory) Fingerprint(offset, size int64) uint64 {
	return maphash.Bytes(fingerprints, m[offset:offset+size])
}

const mib = 1 << 20

// places of the test disk, in MiB.
var layout = []struct {
	name        string
	kind        string
	start, size int64
}{
	{"esp", "ef00", 1, 40}, {"root-a", "8300", 41, 2}, {"verity-a", "8300", 43, 1},
	{"root-b", "8300", 44, 2}, {"verity-b", "8300", 46, 1},
}

// newDisk makes a machine with a release in each slot, a committed, by tools
// that are not ours: sgdisk, mkfs.vfat, mtools, veritysetup, objcopy.
func newDisk(t *testing.T) memory {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, size := range map[string]int64{"disk": 48 * mib, "esp": 40 * mib} {
		create(t, at(name), nil)
		if err := os.Truncate(at(name), size); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-a", "1"}
	for i, p := range layout {
		args = append(args, "-n", fmt.Sprintf("%d:%d:+%dM", i+1, p.start*2048, p.size), "-t", fmt.Sprintf("%d:%s", i+1, p.kind), "-c", fmt.Sprintf("%d:%s", i+1, p.name))
	}
	tool(t, "sgdisk", append(args, at("disk"))...)
	tool(t, "mkfs.vfat", "-F", "32", "-s", "1", at("esp"))
	tool(t, "mmd", "-i", at("esp"), "::EFI", "::EFI/BOOT", "::EFI/Linux", "::loader")
	create(t, at("loader"), []byte("a boot loader"))
	create(t, at("conf"), []byte("default proa-a.efi\ntimeout 0\n"))
	tool(t, "mcopy", "-i", at("esp"), at("loader"), "::EFI/BOOT/BOOTX64.EFI")
	tool(t, "mcopy", "-i", at("esp"), at("conf"), "::loader/loader.conf")
	parts := map[string][]byte{}
	for _, slot := range []string{"a", "b"} {
		content := bytes.Repeat([]byte("release "+slot+"\n"), 100_000)[:200*block]
		create(t, at("root"), content)
		salt := strings.Repeat("5a", 32)
		out := tool(t, "veritysetup", "format", "--salt="+salt, at("root"), at("tree"))
		var hash string
		for line := range strings.Lines(out) {
			if rest, ok := strings.CutPrefix(line, "Root hash:"); ok {
				hash = strings.TrimSpace(rest)
			}
		}
		create(t, at("cmdline"), fmt.Appendf(nil, "quiet proa.roothash=%s proa.salt=%s proa.blocks=200", hash, salt))
		tool(t, "objcopy", "--add-section", ".cmdline="+at("cmdline"), "--change-section-vma", ".cmdline=0x30000",
			"/usr/lib/systemd/boot/efi/linuxx64.efi.stub", at("uki"))
		tool(t, "mcopy", "-i", at("esp"), at("uki"), "::EFI/Linux/proa-"+slot+".efi")
		tree, err := os.ReadFile(at("tree"))
		if err != nil {
			t.Fatal(err)
		}
		parts["root-"+slot], parts["verity-"+slot] = content, tree
	}
	esp, err := os.ReadFile(at("esp"))
	if err != nil {
		t.Fatal(err)
	}
	parts["esp"] = esp
	disk, err := os.ReadFile(at("disk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range layout {
		copy(disk[p.start*mib:], parts[p.name])
	}
	return disk
}

func create(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestAGoodMachineBootsWhatLoaderConfAndVariablesSay(t *testing.T) {
	disk := newDisk(t)
	j, err := New(disk, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		variables Variables
		boots     string
	}{
		{Variables{}, "a"},
		{Variables{OneShot: "proa-b.efi"}, "b"},
		{Variables{OneShot: "proa-c.efi"}, "a"},
		{Variables{Default: "proa-b.efi"}, "b"},
		{Variables{OneShot: "proa-a.efi", Default: "proa-b.efi"}, "a"},
	} {
		out, err := j.State(disk, test.variables)
		if err != nil || out.Boots.Slot != test.boots || out.Committed.Slot != "a" {
			t.Errorf("%+v: got %+v, %v", test.variables, out, err)
		}
	}
	change(disk, "default proa-a", "default proa-b")
	if out, err := j.State(disk, Variables{}); err != nil || out.Committed.Slot != "b" {
		t.Errorf("after the flip: %+v, %v", out, err)
	}
}

// change replaces the first place of a text on the disk.
func change(disk memory, old, text string) { copy(disk[bytes.Index(disk, []byte(old)):], text) }

// flip flips a bit of a partition.
func flip(disk memory, name string, at int64) {
	for _, p := range layout {
		if p.name == name {
			disk[p.start*mib+at] ^= 4
		}
	}
}

func TestWhatIsWrongWithAMachineIsSaid(t *testing.T) {
	good := newDisk(t)
	oneShot := Variables{OneShot: "proa-b.efi"}
	for name, test := range map[string]struct {
		damage    func(memory)
		variables Variables
		kind      Kind
		text      string
	}{
		"root":          {func(d memory) { flip(d, "root-a", 77*block+5) }, Variables{}, Unverified, "for block 77"},
		"tree":          {func(d memory) { flip(d, "verity-a", 2*block+40) }, Variables{}, Unverified, "hash tree differs"},
		"top":           {func(d memory) { flip(d, "verity-a", block+40) }, Variables{}, Unbootable, "no slot has the root"},
		"trial":         {func(d memory) { flip(d, "root-b", 5) }, oneShot, Unverified, "slot b"},
		"letter":        {func(d memory) { change(d, "default proa-a", "default proa-x") }, Variables{}, Unbootable, "no proa-x.efi"},
		"no default":    {func(d memory) { change(d, "default proa-a", "xefault proa-a") }, Variables{}, Unbootable, "names no entry"},
		"table":         {func(d memory) { d[512+40] ^= 1 }, Variables{}, Table, "byte 552"},
		"backup table":  {func(d memory) { d[len(d)-100] ^= 1 }, Variables{}, Table, "partition table"},
		"loader":        {func(d memory) { change(d, "a boot loader", "a boot loafer") }, Variables{}, Unbootable, "boot loader"},
		"boot sector":   {func(d memory) { d[mib+510] = 0 }, Variables{}, Unbootable, "not FAT32"},
		"kernel":        {func(d memory) { change(d, "quiet proa.", "noisy proa.") }, Variables{}, Unverified, "not one that was released"},
		"broken kernel": {func(d memory) { change(d, "proa.roothash=", "proa.rootcash=") }, Variables{}, Unbootable, "does not load"},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := New(good, nil)
			if err != nil {
				t.Fatal(err)
			}
			j.known = map[[sha256.Size]byte]bool{}
			for slot := range strings.SplitSeq("ab", "") {
				out, err := j.entryOf(good, "proa-"+slot+".efi")
				if err != nil {
					t.Fatal(err)
				}
				j.known[out] = true
			}
			disk := bytes.Clone(good)
			test.damage(disk)
			_, err = j.State(memory(disk), test.variables)
			var fault *Fault
			if !errors.As(err, &fault) || fault.Kind != test.kind || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %s with %q", err, test.kind, test.text)
			}
			if _, err := j.State(good, test.variables); err != nil {
				t.Errorf("a kept verdict spoils the good disk: %v", err)
			}
		})
	}
}

// entryOf is the digest of a kernel image.
func (j *Judge) entryOf(disk Disk, name string) ([sha256.Size]byte, error) {
	part := j.bootPart(disk)
	i, ok := part.entries[name]
	if !ok {
		return i.digest, errors.New("no " + name)
	}
	return i.digest, i.err
}

// store makes a variable store with variables of the loader.
func store(variables ...[3]string) []byte {
	out := make([]byte, 4096)
	copy(out[16:], volumeGUID)
	copy(out[40:], "_FVH")
	binary.LittleEndian.PutUint16(out[48:], 72)
	copy(out[72:], storeGUID)
	binary.LittleEndian.PutUint32(out[72+16:], 4000)
	at := 72 + 28
	for _, v := range variables {
		name, data := encode(v[0]), encode(v[1])
		binary.LittleEndian.PutUint16(out[at:], 0x55aa)
		out[at+2] = v[2][0]
		binary.LittleEndian.PutUint32(out[at+36:], uint32(len(name)))
		binary.LittleEndian.PutUint32(out[at+40:], uint32(len(data)))
		copy(out[at+44:], loaderGUID)
		copy(out[at+60:], name)
		copy(out[at+60+len(name):], data)
		at = (at + 60 + len(name) + len(data) + 3) &^ 3
	}
	return out
}

func encode(text string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(text + "\x00")) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

func TestOnlyVariablesThatCountAreRead(t *testing.T) {
	for _, test := range []struct {
		store []byte
		want  string
	}{
		{store(), ""},
		{store([3]string{"LoaderEntryOneShot", "x", "\x3f"}), "x"},
		{store([3]string{"LoaderEntryOneShot", "x", "\x3d"}), ""},                                                    // deleted
		{store([3]string{"LoaderEntryOneShot", "x", "\x7f"}), ""},                                                    // its data is not whole
		{store([3]string{"LoaderEntryOneShot", "x", "\x3e"}), "x"},                                                   // its successor never came
		{store([3]string{"LoaderEntryOneShot", "x", "\x3e"}, [3]string{"LoaderEntryOneShot", "y", "\x3f"}), "y"},     //
		{store([3]string{"LoaderEntrySelected", "z", "\x3f"}, [3]string{"LoaderEntryOneShot", "x", "\x3f"}), "x"},    //
		{store([3]string{"LoaderEntryOneShot", "x", "\x3f"}, [3]string{"LoaderEntryOneShot", "never", "\xff"}), "x"}, // header not whole
	} {
		got, err := ReadVariables(test.store)
		if err != nil || got.OneShot != test.want {
			t.Errorf("got %+v, %v, want %q", got, err, test.want)
		}
	}
}

func FuzzReadVariables(f *testing.F) {
	f.Add(store([3]string{"LoaderEntryOneShot", "x", "\x3f"}))
	f.Fuzz(func(t *testing.T, raw []byte) { _, _ = ReadVariables(raw) })
}

func FuzzVolume(f *testing.F) {
	boot := make([]byte, 8*512)
	copy(boot[510:], "\x55\xaa")
	binary.LittleEndian.PutUint16(boot[11:], 512)
	boot[13], boot[14], boot[16], boot[36], boot[44] = 1, 1, 1, 1, 2
	binary.LittleEndian.PutUint32(boot[32:], 8)
	f.Add(boot)
	f.Fuzz(func(t *testing.T, raw []byte) {
		disk := memory(raw)
		v, err := openVolume(disk, place{0, int64(len(raw))})
		if err != nil {
			return
		}
		if n, err := v.find("EFI/Linux"); err == nil {
			files, _ := v.list(n.first)
			for _, file := range files {
				_, _ = v.content(file)
			}
		}
	})
}

var _ io.ReaderAt = memory{}
