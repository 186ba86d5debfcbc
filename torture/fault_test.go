package torture

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// faults are the errors that are injected, and what the agent must then say.
var faults = []struct{ errno, text string }{
	{"ENOSPC", "no space left on device"},
	{"EIO", "input/output error"},
	{"EROFS", "read-only file system"},
}

// failing are the calls that can fail so on a disk that is full, broken or
// read-only.
var failing = map[string]bool{
	"pwrite64": true, "fsync": true, "fdatasync": true, "syncfs": true, "ftruncate": true, "fallocate": true,
	"rename": true, "renameat": true, "renameat2": true, "unlinkat": true, "mkdirat": true,
}

// TestAFailingDiskIsNamedAndTheNextRunWorks lets each write and each sync of
// the real program fail once.
func TestAFailingDiskIsNamedAndTheNextRunWorks(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		t.Run(c.name, func(t *testing.T) {
			ready := newFleet(t)
			c.prepare(t, ready)
			var places []place
			for _, p := range ready.copy(t).places(t, c.args...) {
				if failing[p.call] {
					places = append(places, p)
				}
			}
			for i, p := range sample(places, sizeOf(9, 1<<30)) {
				for k, fault := range faults {
					if full || i%len(faults) == k {
						failsAt(t, ready, c, p, fault.errno, fault.text)
					}
				}
			}
		})
	}
}

func failsAt(t *testing.T, ready *fleet, c command, p place, errno, text string) {
	name := fmt.Sprintf("%s at %s", errno, p)
	f := ready.copy(t)
	trace := filepath.Join(t.TempDir(), "trace")
	r := f.runUnder(t, strace(trace, fmt.Sprintf("%s:error=%s:when=%d", p.call, errno, p.n)), c.args...)
	if !injected(t, trace) {
		return // this time no thread came so often to that call
	}
	report.add("faults", 1)
	broken := int64(1)
	defer func() { report.add("faults: next run fails", broken) }()
	switch {
	case r.code == 0: // it was not needed for the outcome, or tried again
		report.add("faults: got over", 1)
	case !strings.Contains(r.output, text):
		t.Errorf("%s: the error does not name it:\n%s", name, r.output)
	}
	if err := c.safe(t, f); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if again := f.run(t, c.args...); again.code != 0 {
		t.Errorf("%s: the next run: exit code %d\n%s\nthe run before:\n%s", name, again.code, again.output, r.output)
		return
	}
	left, err := filepath.Glob(f.host.Path("esp/EFI/Linux/*"))
	if err != nil || len(left) > 2 {
		t.Errorf("%s: files are left: %q, %v", name, left, err)
	}
	if err := c.done(t, f); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	broken = 0
	report.add("faults: next run works", 1)
}
