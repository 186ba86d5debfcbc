package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFailedWriteKeepsTheOldFileAndLeavesNoOther(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "file")
	if err := WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := Create(folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	f.Discard()
	occupied := filepath.Join(folder, "occupied")
	if err := MakeFolder(filepath.Join(occupied, "deep")); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(occupied, []byte("x"), 0o644); err == nil {
		t.Error("a folder was replaced by a file")
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Errorf("left %v %v, want file and occupied", entries, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	if content, _ := os.ReadFile(path); string(content) != "old" {
		t.Errorf("content %q", content)
	}
}

func TestCleanRemovesOnlyWhatWasLeftBehind(t *testing.T) {
	// Also when the folder to clean is itself a temporary one.
	folder, err := TempFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(folder, "a", "b")
	if err := MakeFolder(deep); err != nil {
		t.Fatal(err)
	}
	keep := filepath.Join(deep, "keep")
	if err := WriteFile(keep, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := TempFolder(deep); err != nil {
		t.Fatal(err)
	}
	f, err := Create(deep)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := Clean(folder); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(deep)
	if err != nil || len(entries) != 1 || entries[0].Name() != "keep" {
		t.Errorf("left %v %v, want keep", entries, err)
	}
}

func TestFileInAFoldersPlaceIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := MakeFolder(filepath.Join(path, "x")); err == nil {
		t.Error("no error")
	}
	if err := MakeFolder(path); err == nil {
		t.Error("no error")
	}
}
