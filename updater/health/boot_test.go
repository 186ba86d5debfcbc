package health

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/updater/units"
)

// What systemd itself makes of the units when it plans a boot: another unit that the target
// requires is started, and nothing waits for itself.
func TestEveryBootStartsWhatBootCompleteRequiresAndHasNoCycle(t *testing.T) {
	plan := func(extra map[string]string) string {
		t.Helper()
		dir := t.TempDir()
		for name, content := range units.Files() {
			content = bytes.ReplaceAll(content, []byte("/usr/bin/proa-agent"), []byte("/bin/true"))
			must(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
		}
		must(t, os.WriteFile(filepath.Join(dir, "disks.service"),
			[]byte("[Unit]\nBefore=boot-complete.target\n[Service]\nType=oneshot\nExecStart=/bin/true\n"), 0o644))
		links := map[string]string{
			"default.target": "/lib/systemd/system/multi-user.target",
			"boot-complete.target.requires/disks.service":                          "../disks.service",
			"boot-complete.target.requires/systemd-boot-check-no-failures.service": "/lib/systemd/system/systemd-boot-check-no-failures.service",
		}
		for _, more := range []map[string]string{units.Links(), extra} {
			for name, target := range more {
				links[name] = target
			}
		}
		for name, target := range links {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			must(t, os.Symlink(target, filepath.Join(dir, name)))
		}
		cmd := exec.Command("systemd-analyze", "verify", "--man=no", "default.target")
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":", "SYSTEMD_LOG_LEVEL=debug")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("systemd-analyze: %v\n%s", err, out)
		}
		return string(out)
	}
	planned := plan(nil)
	for _, unit := range []string{"boot-complete.target", "disks.service", "systemd-boot-check-no-failures.service", "proa-judge.service"} {
		if !strings.Contains(planned, unit+": Installed new job "+unit+"/start") {
			t.Errorf("a boot does not start %s", unit)
		}
	}
	const cycle = "Found ordering cycle"
	if strings.Contains(planned, cycle) {
		t.Errorf("systemd finds a cycle:\n%s", planned)
	}
	// It would find one: a target comes after what it wants.
	if !strings.Contains(plan(map[string]string{"multi-user.target.wants/boot-complete.target": "/lib/systemd/system/boot-complete.target"}), cycle) {
		t.Error("systemd finds no cycle where there is one")
	}
}
