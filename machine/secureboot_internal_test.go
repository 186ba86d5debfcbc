package machine

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// emptyStore is a copy of OVMF's store, with the GUID of its kind in it.
func emptyStore(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vars.fd")
	if err := Clone(path, secureFirmware[0].Vars); err != nil {
		t.Fatalf("install ovmf: %v", err)
	}
	return path
}

// TestKeysLieWhereTheDistributionsStoreHasThem compares with the store that
// Debian has OVMF itself fill.
func TestKeysLieWhereTheDistributionsStoreHasThem(t *testing.T) {
	theirs, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd")
	if err != nil {
		t.Fatalf("install ovmf: %v", err)
	}
	path := emptyStore(t)
	want := variableOf(t, theirs, "PK\x00")
	keys := SecureBoot{PK: want[variableHeader+6:], KEK: []byte("kek"), DB: []byte("db")}
	if err := keys.enroll(path); err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := variableOf(t, ours, "PK\x00")
	copy(got[16:32], want[16:32]) // the time
	if !bytes.Equal(got, want) {
		t.Errorf("PK is\n%x\nOVMF wrote\n%x", got[:variableHeader+10], want[:variableHeader+10])
	}
	if got := variableOf(t, ours, "SecureBootEnable\x00"); got[len(got)-1] != 1 {
		t.Errorf("SecureBootEnable is %d", got[len(got)-1])
	}
	// What a second writer adds comes behind, and fits.
	if err := appendVariables(path, []variable{{"more", vendorGlobal, 7, []byte{9}}}); err != nil {
		t.Fatal(err)
	}
	if ours, err = os.ReadFile(path); err != nil || variableOf(t, ours, "more\x00")[variableHeader+10] != 9 {
		t.Errorf("a variable more is not there: %v", err)
	}
}

// variableOf is the variable that was added under the name, without padding.
func variableOf(t *testing.T, store []byte, name string) []byte {
	t.Helper()
	var wide []byte
	for _, b := range []byte(name) {
		wide = append(wide, b, 0)
	}
	for rest := store; ; {
		at := bytes.Index(rest, []byte{0xaa, 0x55, variableAdded, 0})
		if at < 0 || at+variableHeader > len(rest) {
			t.Fatalf("the store has no %q", name)
		}
		rest = rest[at:]
		if bytes.HasPrefix(rest[variableHeader:], wide) && int(rest[36]) == len(wide) {
			size := int(rest[40]) | int(rest[41])<<8 | int(rest[42])<<16
			return bytes.Clone(rest[:variableHeader+len(wide)+size])
		}
		rest = rest[4:]
	}
}

func TestUnfitVariableStoresAreRefused(t *testing.T) {
	for want, change := range map[string]func([]byte) []byte{
		"not one of OVMF's": func(s []byte) []byte { s[40] = 'x'; return s },
		"variable store":    func(s []byte) []byte { return s[:100] },
		"is not empty":      func(s []byte) []byte { s[5000] = 0; return s },
	} {
		path := emptyStore(t)
		store, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(store), 0o600); err != nil {
			t.Fatal(err)
		}
		keys := SecureBoot{PK: []byte("pk")}
		if err := keys.enroll(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	path := emptyStore(t)
	keys := SecureBoot{PK: []byte("pk"), DB: make([]byte, 1<<20)}
	if err := keys.enroll(path); err == nil || !strings.Contains(err.Error(), "bytes are free") {
		t.Errorf("keys of 1 MiB: %v", err)
	}
}

func TestSecureBootIsForFirmwareOfAMD64(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, make([]byte, 512), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{{Arch: "arm64"}, {Kernel: &Kernel{Image: disk, Initrd: disk}}} {
		c.Disk, c.Dir, c.SecureBoot = disk, t.TempDir(), &SecureBoot{}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "want amd64 and firmware") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := exec.LookPath(boards["amd64"].qemu); err != nil {
		t.Fatal(err)
	}
}
