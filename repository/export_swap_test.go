package repository

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// Where two names cannot be exchanged at once, a failure leaves the old export.
func TestFoldersAreSwappedOrAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	old, new := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	check(t, os.Mkdir(old, 0o755))
	check(t, os.WriteFile(filepath.Join(old, "file"), []byte("old"), 0o644))
	before := snapshotOf(t, dir)
	if err := swapFolders(new, old); !errors.Is(err, os.ErrNotExist) || !maps.Equal(before, snapshotOf(t, dir)) {
		t.Errorf("%v, and %v is left", err, snapshotOf(t, dir))
	}
	check(t, os.Mkdir(new, 0o755))
	check(t, swapFolders(new, old))
	if after := snapshotOf(t, dir); after["new/file"] != "old" || len(after) != 1 {
		t.Errorf("%v is there", after)
	}
}
