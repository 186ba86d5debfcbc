package doors

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// house is one with files of sysfs, by path.
func house(t *testing.T, sys map[string]string) House {
	t.Helper()
	dir := t.TempDir()
	for name, content := range sys {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return House{Sys: dir, Dev: dir, Most: 1 << 10, LoadModules: func(...string) {},
		ESP:         func() (string, func(), error) { return dir, func() {}, nil },
		MountVolume: func(device, kind string) (string, func(), error) { return device + ".mounted", func() {}, nil }}
}

const dmi = "firmware/dmi/tables/DMI"

// table is an SMBIOS table with a structure of type 1, one of type 11 with
// these strings, and its end.
func table(texts ...string) string {
	return "\x01\x05\x00\x00xone\x00\x00" + "\x0b\x05\x01\x00" + string(rune(len(texts))) + strings.Join(texts, "\x00") + "\x00\x00" + "\x7f\x04\x02\x00\x00\x00"
}

func TestTheFirstDoorWithSomethingCounts(t *testing.T) {
	const fwcfg = "firmware/qemu_fw_cfg/by_name/opt/"
	for _, test := range []struct {
		name, door, data string
		sys              map[string]string
	}{
		{"none", "", "", nil},
		{"a text in SMBIOS", "SMBIOS credential proa.config", "{}", map[string]string{dmi: table("other", "io.systemd.credential:proa.config={}")}},
		{"binary in SMBIOS", "SMBIOS credential proa.config", "{}\n", map[string]string{dmi: table("io.systemd.credential.binary:proa.config=e30K"), fwcfg + "com.coreos/config/raw": "x"}},
		{"another credential", "", "", map[string]string{dmi: table("io.systemd.credential:proa.configs={}")}},
		{"fw_cfg as systemd has it", "fw_cfg opt/io.systemd.credentials/proa.config", "a", map[string]string{
			fwcfg + "io.systemd.credentials/proa.config/raw": "a", fwcfg + "com.coreos/config/raw": "b"}},
		{"the boot partition", "file proa/config of the boot partition", "c", map[string]string{ESPPath: "c"}},
		{"fw_cfg as CoreOS has it", "fw_cfg opt/com.coreos/config", "b", map[string]string{dmi: table("x"), fwcfg + "com.coreos/config/raw": "b"}},
	} {
		found, err := house(t, test.sys).Look()
		if err != nil || found == nil != (test.door == "") || found != nil && (found.Door != test.door || string(found.Data) != test.data) {
			t.Errorf("%s: %+v, %v", test.name, found, err)
		}
	}
}

func TestADoorThatCannotBeReadIsAnError(t *testing.T) {
	for _, test := range []struct {
		want string
		sys  map[string]string
	}{
		{"SMBIOS: credential proa.config: illegal base64", map[string]string{dmi: table("io.systemd.credential.binary:proa.config=*")}},
		{"SMBIOS: credential proa.config is there twice", map[string]string{dmi: table("io.systemd.credential:proa.config=a", "io.systemd.credential:proa.config=a")}},
		{"SMBIOS: the configuration has 2000 bytes: want at most 1024", map[string]string{dmi: table("io.systemd.credential:proa.config=" + strings.Repeat("x", 2000))}},
		{"fw_cfg: ", map[string]string{"firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw": strings.Repeat("x", 2000)}},
	} {
		if found, err := house(t, test.sys).Look(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v, %v: want %s", found, err, test.want)
		}
	}
}

func TestAMachineWithoutABootPartitionHasOtherDoors(t *testing.T) {
	h := house(t, nil)
	for err, want := range map[error]bool{fs.ErrNotExist: true, fs.ErrPermission: false} {
		h.ESP = func() (string, func(), error) { return "", nil, err }
		if found, got := h.Look(); found != nil || (got == nil) != want {
			t.Errorf("%v: %+v, %v", err, found, got)
		}
	}
}

// volumes makes file systems by the programs of others, by the kind that the
// kernel calls them.
func volumes(t *testing.T, label string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	made := map[string]string{}
	for kind, command := range map[string][]string{
		"vfat 12":   {"mkfs.vfat", "-C", "-F", "12", "-n", label, filepath.Join(dir, "12"), "1024"},
		"vfat 16":   {"mkfs.vfat", "-C", "-F", "16", "-n", label, filepath.Join(dir, "16"), "16384"},
		"vfat 32":   {"mkfs.vfat", "-C", "-F", "32", "-n", label, filepath.Join(dir, "32"), "65536"},
		"iso9660 x": {"xorriso", "-as", "mkisofs", "-quiet", "-V", label, "-o", filepath.Join(dir, "x"), t.TempDir()},
		"":          {"mkfs.ext4", "-q", "-L", label, filepath.Join(dir, "ext4"), "1M"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
		_, name, _ := strings.Cut(kind, " ")
		if kind == "" {
			name = "ext4"
		}
		made[kind] = filepath.Join(dir, name)
	}
	return made
}

func TestLabelsAreThoseThatOthersWrite(t *testing.T) {
	for kind, path := range volumes(t, "CIDATA") {
		want, _, _ := strings.Cut(kind, " ")
		got, label := labelOf(path)
		if got != want || kind != "" && label != "CIDATA" {
			t.Errorf("%s: %q, %q", path, got, label)
		}
	}
}

func TestAVolumeIsReadWholeOrNotAtAll(t *testing.T) {
	image, err := os.ReadFile(volumes(t, "cidata")["vfat 12"])
	must(t, err)
	for _, test := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"user-data": "#cloud-config\n", "meta-data": "instance-id: x\n"}, ""},
		{map[string]string{"user-data": "#cloud-config\n", "network-config": "version: 2\n"}, "the file network-config is not supported"},
		{map[string]string{"user-data": "#cloud-config\n", "vendor-data": "x"}, "the file vendor-data is not supported"},
		{map[string]string{"user-data": strings.Repeat("x", 2000)}, "want at most 1024 bytes"},
	} {
		files := map[string]string{"class/block/vdb/x": "", "class/block/loop7/x": "", "vdb": string(image)}
		for name, content := range test.files {
			files["vdb.mounted/"+name] = content
		}
		found, err := house(t, files).Look()
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v: %v, want %s", test.files, err, test.want)
			}
			continue
		}
		if err != nil || found == nil || found.Door != "NoCloud volume vdb" || string(found.MetaData) != "instance-id: x\n" {
			t.Errorf("%+v, %v", found, err)
		}
	}
}

func FuzzOEMStrings(f *testing.F) {
	f.Add([]byte(table("io.systemd.credential:proa.config={}")))
	f.Add([]byte{11, 4, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := 0
		for _, text := range oemStrings(data) {
			sum += len(text)
			_, _ = credentialOf(text)
		}
		if sum > len(data) {
			t.Errorf("%d bytes of strings in a table of %d", sum, len(data))
		}
	})
}

func FuzzVolumeLabel(f *testing.F) {
	f.Add(make([]byte, 0x8100))
	f.Fuzz(func(t *testing.T, data []byte) {
		if kind, label := volumeLabel(bytes.NewReader(data)); kind == "" && label != "" || len(label) > 32 {
			t.Errorf("%q, %q", kind, label)
		}
	})
}
