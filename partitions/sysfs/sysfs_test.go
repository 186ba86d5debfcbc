package sysfs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOnlyANumberIsTakenForOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "size")
	if _, err := Number(path); err == nil {
		t.Error("a missing file has a number")
	}
	for text, want := range map[string]int64{"2048\n": 2048, "0\n": 0, "-1\n": -1, "9007199254740991": 1<<53 - 1} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := Number(path); err != nil || n != want {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"", "\n", "8:0\n", "0x10", "9007199254740992"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := Number(path); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
}
