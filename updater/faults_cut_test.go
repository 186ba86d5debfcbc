package updater_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/updater/hostfs/powercut"
)

// TestFaultAnywhereIsAnErrorThatTheNextRunMends is about media that are broken, full
// or read-only, once or from then on, and about firmware whose variables are.
func TestFaultAnywhereIsAnErrorThatTheNextRunMends(t *testing.T) {
	onEveryControl(t, func(t *testing.T, w feat, control string) {
		if !report.full && !slices.Contains(smallFaults, control+"/"+w.name) {
			return
		}
		y := w.on(t, control)
		for n := 0; n < len(y.ops); n += report.sizeOf(4, 1) {
			for _, f := range []struct {
				err   error
				lasts bool
			}{
				{unix.EIO, false}, {unix.EIO, true}, {unix.ENOSPC, false}, {unix.ENOSPC, true}, {unix.EROFS, false}, {unix.EROFS, true},
			} {
				report.add(figureFaults, 1)
				if err := y.failAt(t, w, n, f.err, f.lasts); err != nil {
					report.add(figureNotMended, 1)
					t.Errorf("%v at operation %d, %s, from then on %t: %v", f.err, n, y.ops[n], f.lasts, err)
				}
			}
		}
	})
}

// smallFaults are the feats to which a small run has something happen.
var smallFaults = []string{"counted/cancel", "oneshot/stage"}

func (y *yard) failAt(t testing.TB, w feat, n int, fails error, lasts bool) error {
	dir, err := os.MkdirTemp(filepath.Dir(y.before.Dir), "fault")
	check(t, err)
	defer os.RemoveAll(dir)
	h := y.before.Copy(t, dir)
	fs := &powercut.Recorder{Dir: h.Dir, Drops: true, Before: powercut.Fail(n, fails, lasts)}
	err = attempt(t, func(t testing.TB) { check(t, w.work(t, h, fs)) })
	if !errors.Is(err, fails) {
		return fmt.Errorf("the work ended with %v", err)
	}
	if err == fails {
		return fmt.Errorf("the error %q does not say what failed", err)
	}
	return attempt(t, func(t testing.TB) { y.judge(t, h, false) })
}
