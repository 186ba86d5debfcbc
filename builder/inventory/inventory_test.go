package inventory

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/capabilities"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/overlay"
	"github.com/proa-os/proa/builder/tree"
)

func put(t testing.TB, to *tree.Tree, path string, n *tree.Node) {
	t.Helper()
	n.Source = "test"
	if err := to.Put(path, n); err != nil {
		t.Fatal(err)
	}
}

func text(s string) *tree.Node {
	return &tree.Node{Kind: tree.File, Mode: 0o644, Content: tree.Content{At: strings.NewReader(s), Size: int64(len(s))}}
}

func symlink(target string) *tree.Node {
	return &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: target}
}

func read(t testing.TB, from *tree.Tree) Inventory {
	t.Helper()
	found, err := Read(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// folder is a tree of what is in a folder.
func folder(t *testing.T, dir string) *tree.Tree {
	t.Helper()
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	into := tree.New()
	if err := overlay.Add(t.Context(), store, into, overlay.Config{Name: "folder", Dir: dir}); err != nil {
		t.Fatal(err)
	}
	return into
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errors.Bytes())
	}
	return string(out)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheSystemIsDescribed(t *testing.T) {
	all := tree.New()
	put(t, all, "etc/os-release", symlink("../usr/lib/os-release"))
	put(t, all, "usr/lib/os-release", text("# comment\nID=edge\nNAME=\"Edge \\\"1\\\"\"\nHOME_URL='x y'\nbroken\n"))
	put(t, all, "etc/passwd", text("root:x:0:0:root:/root:/bin/sh\nbroken:x:y:0::/:/\nadm:x:3:4:adm:/var/adm:/usr/sbin/nologin\n"))
	put(t, all, "etc/group", text("root:x:0:\nwheel:x:10:zoe,adm\n"))
	put(t, all, "usr/lib/modules/6.1.0/modules.dep", text(""))
	put(t, all, "boot/vmlinuz-6.1.0", text("kernel"))
	put(t, all, "boot/config-6.1.0", text("#\n# CONFIG_X is not set\nCONFIG_EROFS_FS=m\nCONFIG_NAME=\"a=b\"\n"))
	put(t, all, "usr/lib/systemd/system/b.service", text(""))
	put(t, all, "usr/lib/systemd/system/sysinit.target.wants/a.service", symlink("../a.service"))
	put(t, all, "etc/systemd/system/multi-user.target.wants/b.service", symlink("/usr/lib/systemd/system/b.service"))
	put(t, all, "etc/systemd/system/c.service", symlink("/dev/null"))
	su := text("su")
	su.Mode = 0o4755
	put(t, all, "usr/bin/su", su)
	if err := all.Link("usr/bin/su2", "usr/bin/su"); err != nil {
		t.Fatal(err)
	}
	ping := text("ping")
	ping.Xattrs = map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}
	put(t, all, "usr/bin/ping", ping)

	found := read(t, all)
	if found.OS["ID"] != "edge" || found.OS["NAME"] != `Edge "1"` || found.OS["HOME_URL"] != "x y" || len(found.OS) != 3 {
		t.Errorf("os-release: %q", found.OS)
	}
	if len(found.Users) != 2 || found.Users[0] != (User{"adm", 3, 4, "/var/adm", "/usr/sbin/nologin"}) {
		t.Errorf("users: %+v", found.Users)
	}
	if len(found.Groups) != 2 || !slices.Equal(found.Groups[1].Members, []string{"adm", "zoe"}) {
		t.Errorf("groups: %+v", found.Groups)
	}
	if len(found.Kernels) != 1 || found.Kernels[0].Path != "boot/vmlinuz-6.1.0" || found.Kernels[0].Options["CONFIG_NAME"] != `"a=b"` || len(found.Kernels[0].Options) != 2 {
		t.Errorf("kernels: %+v", found.Kernels)
	}
	if !slices.Equal(found.Units, []string{"multi-user.target.wants/b.service", "sysinit.target.wants/a.service"}) || !slices.Equal(found.Masked, []string{"c.service"}) {
		t.Errorf("units: %q, masked %q", found.Units, found.Masked)
	}
	if len(found.SetID) != 2 || found.SetID[0] != (SetID{"usr/bin/su", 0o4755, 0, 0}) {
		t.Errorf("set-user-ID: %+v", found.SetID)
	}
	if len(found.Capabilities) != 1 || found.Capabilities[0] != (Capability{"usr/bin/ping", "cap_net_raw=ep"}) {
		t.Errorf("capabilities: %+v", found.Capabilities)
	}
	if found.Files != 9 || found.Names < 25 {
		t.Errorf("%d files, %d names", found.Files, found.Names)
	}
}

func TestGoProgramsSayWhatTheyAreMadeOf(t *testing.T) {
	self := filepath.Join(t.TempDir(), "proa-init")
	run(t, ".", "go", "build", "-o", self, "../../cmd/proa-init")
	file, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	all := tree.New()
	program := func(size int64, mode uint32) *tree.Node {
		return &tree.Node{Kind: tree.File, Mode: mode, Content: tree.Content{At: file, Size: size}}
	}
	put(t, all, "bin/program", program(info.Size(), 0o755))
	put(t, all, "bin/cut", program(goProgramLeast, 0o755))
	put(t, all, "share/data", program(info.Size(), 0o644))
	found := read(t, all).Programs
	if len(found) != 1 || found[0].Path != "bin/program" || !strings.HasSuffix(found[0].Package, "/cmd/proa-init") || !strings.HasPrefix(found[0].Go, "go1.") {
		t.Fatalf("programs: %+v", found)
	}
	if !slices.ContainsFunc(found[0].Deps, func(m Module) bool {
		return m.Path == "golang.org/x/sys" && strings.HasPrefix(m.Version, "v0.") && strings.HasPrefix(m.Sum, "h1:")
	}) {
		t.Errorf("dependencies: %+v", found[0].Deps)
	}
}

func TestCapabilitiesAreWrittenAsGetcapDoes(t *testing.T) {
	for value, want := range map[string]string{
		"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00":                 "cap_net_bind_service=ep",
		"\x00\x00\x00\x02\x03\x00\x00\x00\x01\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00":                 "cap_chown=ip cap_dac_override,cap_bpf=p",
		"\x01\x00\x00\x03\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xe8\x03\x00\x00": "cap_net_raw=ep [rootid=1000]",
		"\x01\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00":                                                 "cap_chown=ep",
		"\x01":                             "unreadable 01",
		"\x01\x00\x00\x02\x00\x04\x00\x00": "unreadable 0100000200040000",
	} {
		if got := capabilities.Text(value); got != want {
			t.Errorf("%x: %q, want %q", value, got, want)
		}
	}
}

func FuzzCapability(f *testing.F) {
	f.Add("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	f.Fuzz(func(_ *testing.T, value string) { capabilities.Text(value) })
}
