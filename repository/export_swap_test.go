package repository

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

func TestAnExportRemovesWhatKilledOnesLeftAndNothingElse(t *testing.T) {
	w := makeExportWorld(t)
	for _, name := range []string{"x", "x.tar"} {
		dir := t.TempDir()
		killed := must[*exporting](t)(newExporting(dir))
		check(t, os.MkdirAll(filepath.Join(killed.path, "export/artifacts"), 0o755))
		check(t, os.WriteFile(filepath.Join(killed.path, "export/artifacts/half"), []byte("half"), 0o644))
		check(t, killed.lock.Close()) // as the end of its process does
		running := must[*exporting](t)(newExporting(dir))
		if _, err := os.Stat(killed.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: left by one that began: %v", name, err)
		}
		check(t, os.Mkdir(killed.path, 0o700))
		check(t, os.WriteFile(filepath.Join(dir, exportingPrefix+"file"), nil, 0o644))
		check(t, os.Mkdir(filepath.Join(dir, "other"), 0o755))
		must[Exported](t)(w.export(filepath.Join(dir, name), nil))
		var left []string
		for _, entry := range must[[]os.DirEntry](t)(os.ReadDir(dir)) {
			left = append(left, entry.Name())
		}
		want := []string{filepath.Base(running.path), exportingPrefix + "file", "other", name}
		slices.Sort(want)
		if !slices.Equal(left, want) {
			t.Errorf("%s: %q is there: want %q", name, left, want)
		}
		check(t, running.Remove())
	}
}
