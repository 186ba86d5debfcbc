package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLinksAreFollowedInsideTheImage(t *testing.T) {
	root := t.TempDir()
	for _, folder := range []string{"usr/lib/systemd", "usr/sbin"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "usr/lib/systemd/systemd"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, target := range map[string]string{
		"sbin":          "usr/sbin",
		"lib":           "/usr/lib",
		"usr/sbin/init": "/lib/systemd/systemd",
		"usr/sbin/up":   "../../../../../lib/systemd/systemd",
		"usr/sbin/loop": "loop",
		"usr/sbin/gone": "/nowhere",
		"host":          "/proc/self/exe",
	} {
		if err := os.Symlink(target, filepath.Join(root, path)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/sbin/init", "/sbin/up", "/usr/lib/systemd/systemd", "/sbin/../lib/./systemd//systemd"} {
		if got, err := resolve(root, path); err != nil || got != filepath.Join(root, "usr/lib/systemd/systemd") {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"/sbin/loop", "/sbin/gone", "/host", "/sbin/none"} {
		if got, err := resolve(root, path); err == nil {
			t.Errorf("%s: got %q", path, got)
		}
	}
}

func TestModulesGetTheirParametersFromTheCommandLine(t *testing.T) {
	got := moduleParameters("quiet nvme_core.io_timeout=9 softdog.soft_margin=5 nvme-core.multipath=N .x=1 y.=2 panic=30\n")
	want := map[string]string{"nvme_core": "io_timeout=9 multipath=N", "softdog": "soft_margin=5"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzModuleParameters(f *testing.F) {
	f.Add("a.b=c a.d proa.roothash=00 -- x")
	f.Fuzz(func(t *testing.T, line string) {
		for name, parameters := range moduleParameters(line) {
			if name == "" || parameters == "" || strings.ContainsAny(name, "-. ") {
				t.Fatalf("module %q with %q", name, parameters)
			}
		}
	})
}

func TestEmptyingTheInitrdKeepsToOneFolder(t *testing.T) {
	root := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	for _, path := range []string{outside, filepath.Join(root, "init")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "a/b/c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(root, "a/link")); err != nil {
		t.Fatal(err)
	}
	if err := removeOn(root, deviceOf(t, root)); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(root); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
	// Another device's number: nothing there is ours.
	if err := removeOn(filepath.Dir(outside), deviceOf(t, root)+1); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("a file of another file system is gone: %v", err)
	}
}

func deviceOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Dev
}
