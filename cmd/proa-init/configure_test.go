package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAMachineIsConfiguredUntilSomethingIsLeftToDo(t *testing.T) {
	dir := t.TempDir()
	make := func(name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(want bool) {
		t.Helper()
		if got := isConfigured(dir); got != want {
			t.Errorf("configured: %t, want %t", got, want)
		}
	}
	want(false)
	make("configured.json")
	want(true)
	for _, name := range []string{"configure/again", "configure/pending.json"} {
		make(name)
		want(false)
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	want(true)
}
