package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestVariableIsWrittenAsTheBootLoaderReadsIt(t *testing.T) {
	store := variables(t.TempDir())
	if err := store.write(entryOneShot, loaderVendor, encodeUTF16("proa-b.efi")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(string(store), "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"))
	if want := []byte("\x07\x00\x00\x00p\x00r\x00o\x00a\x00-\x00b\x00.\x00e\x00f\x00i\x00\x00\x00"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	value, err := store.read(entryOneShot, loaderVendor)
	if err != nil || decodeUTF16(value) != "proa-b.efi" {
		t.Errorf("read back %q, %v", value, err)
	}
	for range 2 {
		if err := store.remove(entryOneShot, loaderVendor); err != nil {
			t.Error(err)
		}
	}
	if _, err := store.read(entryOneShot, loaderVendor); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after removal: %v", err)
	}
}

func TestMalformedVariablesAreNoName(t *testing.T) {
	for raw, want := range map[string]string{"": "", "p": "", "p\x00": "p", "p\x00\x00\x00x\x00": "p", "\x00\xd8p\x00": "\ufffdp"} {
		if got := decodeUTF16([]byte(raw)); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
	store := variables(t.TempDir())
	if err := os.WriteFile(store.path("Short", loaderVendor), []byte{7, 0, 0}, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.read("Short", loaderVendor); err == nil {
		t.Error("a variable without attributes was taken")
	}
}
