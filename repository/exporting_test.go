package repository

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Each export sweeps what nobody has locked: one that has just begun must not be that.
func TestExportsSideBySideLeaveEachOtherAlone(t *testing.T) {
	folder := t.TempDir()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 200 {
				e, err := newExporting(folder)
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(e.path, "x"), nil, 0o644); err != nil {
					t.Error(err)
				}
				if err := e.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
