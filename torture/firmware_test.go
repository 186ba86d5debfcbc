package torture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFirmwareThatStoresNothingIsNamedAndTheNextRunWorks updates with the real
// program where variables cannot be written, and then where they can.
func TestFirmwareThatStoresNothingIsNamedAndTheNextRunWorks(t *testing.T) {
	t.Parallel()
	ready := newFleet(t)
	const variable = "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
	for _, test := range []struct{ name, calls, errno, text string }{
		{"read-only", "openat", "EROFS", "read-only file system"},
		{"full", "write", "ENOSPC", "no space left on device"},
		{"broken", "write", "EIO", "input/output error"},
	} {
		f := ready.copy(t)
		trace := filepath.Join(t.TempDir(), "trace")
		r := f.runUnder(t, []string{"strace", "-f", "-qq", "-o", trace, "-P", f.host.Path("efivars/" + variable),
			"-e", "trace=" + test.calls, "-e", "inject=" + test.calls + ":error=" + test.errno}, "update")
		if !injected(t, trace) {
			t.Errorf("%s: nothing was injected", test.name)
		}
		f.wantNamed(t, test.name, r, test.text)
		f.wantNext(t, test.name)
	}

	f := ready.copy(t)
	gone := f.host.Path("gone")
	if err := os.Rename(f.host.Path("efivars"), gone); err != nil {
		t.Fatal(err)
	}
	r := f.run(t, "update")
	if err := os.Rename(gone, f.host.Path("efivars")); err != nil {
		t.Fatal(err)
	}
	f.wantNamed(t, "absent", r, "efivars")
	f.wantNext(t, "absent")
}

// wantNamed checks that a run failed, said why, and left the machine as it was.
func (f *fleet) wantNamed(t *testing.T, name string, r ran, text string) {
	t.Helper()
	report.add("faults", 1)
	if r.code <= 0 || !strings.Contains(r.output, text) {
		t.Errorf("%s: exit code %d, want an error with %q\n%s", name, r.code, text, r.output)
	}
	if err := oldWhole(t, f); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if err := leadsA(t, f.copy(t)); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// wantNext checks that the next update works.
func (f *fleet) wantNext(t *testing.T, name string) {
	t.Helper()
	if r := f.run(t, "update"); r.code != 0 {
		t.Errorf("%s: the next run: exit code %d\n%s", name, r.code, r.output)
		return
	}
	if err := triesBThenA(t, f); err != nil {
		t.Errorf("%s: the next run: %v", name, err)
		return
	}
	report.add("faults: next run works", 1)
}
