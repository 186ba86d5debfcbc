package manifests

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// systemd-analyze is the reference implementation of UAPI.10.
func TestVersionsCompareAsSystemdDoes(t *testing.T) {
	versions := []string{
		"1", "1.0", "1.0.0", "1.0.1", "1.1", "1.10", "1.9", "2", "10", "01", "001.0",
		"1.0~rc1", "1.0~rc2", "1.0~~", "1.0-1", "1.0-2", "1.0^1", "1.0^20261123", "1.0+git1", "1.0a", "1.0b", "1.0alpha",
		"a", "abc", "A", "1a2", "1a10", "1_2", "1.", "1..2", "2026.11", "20261123", "1.0.0-rc.1", "1.0.0~rc.1-3", "99999999999999999999999999", "100000000000000000000000000",
	}
	for i, a := range versions {
		for _, b := range versions[i:] {
			want := systemdCompares(t, a, b)
			if got, reverse := Version(a).Compare(Version(b)), Version(b).Compare(Version(a)); got != want || reverse != -want {
				t.Errorf("%s and %s: got %d, the other way round %d; systemd says %d", a, b, got, reverse, want)
			}
		}
	}
}

// systemdCompares runs the reference: its exit code is 0, 11 or 12 as a is
// equal, newer or older.
func systemdCompares(t *testing.T, a, b string) int {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "compare-versions", a, b).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() == 11:
		return +1
	case errors.As(err, &exit) && exit.ExitCode() == 12:
		return -1
	}
	t.Fatalf("systemd-analyze compare-versions %s %s: %v\n%s", a, b, err, out)
	return 0
}

func TestAVersionMustBeFitForPathsAndTargets(t *testing.T) {
	for _, good := range []string{"1", "1.0.0", "2026.11~rc1", "v1", strings.Repeat("1", 64)} {
		if _, err := ParseVersion(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".", "..", "../1", "1/2", "-1", "~1", "1 0", "1\n", "1\x00", "ü", strings.Repeat("1", 65)} {
		if _, err := ParseVersion(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
