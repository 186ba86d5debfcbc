package machine

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// machineOf is a machine that is never booted, with a store's variables.
func machineOf(t *testing.T, store string) *Machine {
	t.Helper()
	dir := t.TempDir()
	m := &Machine{config: Config{Disk: filepath.Join(dir, "disk.raw"), Dir: dir}}
	if err := os.WriteFile(m.config.Disk, []byte("disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Clone(m.Variables(), store); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAVariableIsReadWhereOVMFWroteIt looks through the store that Debian has OVMF
// itself fill.
func TestAVariableIsReadWhereOVMFWroteIt(t *testing.T) {
	const snakeoil = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"
	m := machineOf(t, snakeoil)
	theirs, err := os.ReadFile(snakeoil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PK", "SecureBootEnable"} {
		want := variableOf(t, theirs, name+"\x00")
		got, found, err := m.Variable(name)
		if err != nil || !found || len(got) == 0 || !bytes.HasSuffix(want, got) {
			t.Errorf("%s: %x, %t, %v", name, got, found, err)
		}
	}
	if got, found, err := m.Variable("LoaderEntryOneShot"); err != nil || found {
		t.Errorf("a variable that is not there: %x, %t, %v", got, found, err)
	}
}

func TestAVariableThatWasDeletedIsNotThere(t *testing.T) {
	path := emptyStore(t)
	for _, content := range []string{"first", "second"} {
		if err := appendVariables(path, []variable{{"x", vendorGlobal, 7, []byte(content)}}); err != nil {
			t.Fatal(err)
		}
	}
	m := machineOf(t, path)
	change := func(at int, state byte) {
		t.Helper()
		f, err := os.OpenFile(m.Variables(), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, start, err := readStore(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{state}, int64(start+storeHeader+at+2)); err != nil {
			t.Fatal(err)
		}
	}
	const size = (variableHeader + 4 + 5 + 3) &^ 3 // of the first, as it lies
	for _, step := range []struct {
		at    int
		state byte
		want  string
	}{{0, variableAdded, "first"}, {0, variableAdded & 0xfd, "second"}, {size, variableAdded & 0xfc, ""}} {
		change(step.at, step.state)
		got, found, err := m.Variable("x")
		if err != nil || found != (step.want != "") || string(got) != step.want {
			t.Errorf("got %q, %t, %v: want %q", got, found, err, step.want)
		}
	}
}

func TestACopyOfAMachineGoesItsOwnWay(t *testing.T) {
	store := emptyStore(t)
	if err := appendVariables(store, []variable{{"x", vendorGlobal, 7, []byte("kept")}}); err != nil {
		t.Fatal(err)
	}
	m := machineOf(t, store)
	if err := os.MkdirAll(m.tpmFolder(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.tpmFolder(), "tpm2-00.permall"), []byte("seed"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copied, err := m.Copy(filepath.Join(dir, "copy.raw"), filepath.Join(dir, "copy"))
	if err != nil {
		t.Fatal(err)
	}
	if got, found, err := copied.Variable("x"); err != nil || !found || string(got) != "kept" {
		t.Errorf("variable of the copy: %q, %t, %v", got, found, err)
	}
	if seed, err := os.ReadFile(filepath.Join(copied.tpmFolder(), "tpm2-00.permall")); err != nil || string(seed) != "seed" {
		t.Errorf("TPM of the copy: %q, %v", seed, err)
	}
	if err := os.WriteFile(copied.Disk(), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if disk, err := os.ReadFile(m.Disk()); err != nil || string(disk) != "disk" {
		t.Errorf("the first disk is %q, %v", disk, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "copy", "boot-1.log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copied.Discard(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "copy*", "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "boot-1.log" {
		t.Errorf("of a machine that was discarded stays %v, %v", left, err)
	}
	m.last = &Boot{ended: make(chan struct{})}
	if _, err := m.Copy(filepath.Join(dir, "running.raw"), filepath.Join(dir, "running")); err == nil {
		t.Error("a running machine was copied")
	}
}

func FuzzFindVariable(f *testing.F) {
	raw := bytes.Repeat([]byte{0xff}, storeHeader)
	raw = append(raw, variable{"x", vendorGlobal, 7, []byte("content")}.encode()...)
	f.Add(raw)
	long := bytes.Clone(raw)
	copy(long[storeHeader+40:], "\xff\xff\xff\x7f") // size of the content
	f.Add(long)
	f.Fuzz(func(t *testing.T, store []byte) { findVariable(store, "x") })
}
