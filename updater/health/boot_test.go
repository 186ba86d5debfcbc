package health

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/updater/units"
)

// cycle is what systemd says where a unit waits for itself.
const cycle = "Found ordering cycle"

// plan is what systemd itself makes of the units when it plans a boot, with more files
// and links of theirs.
func plan(t *testing.T, files map[string]string, more ...map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range units.Files() {
		content = bytes.ReplaceAll(content, []byte("/usr/bin/proa-agent"), []byte("/bin/true"))
		must(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	for name, content := range files {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	links := map[string]string{"default.target": "/lib/systemd/system/multi-user.target"}
	for _, more := range append(more, units.Links()) {
		maps.Copy(links, more)
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

// Another unit that the target requires is started, and nothing waits for itself.
func TestEveryBootStartsWhatBootCompleteRequiresAndHasNoCycle(t *testing.T) {
	files := map[string]string{"disks.service": "[Unit]\nBefore=boot-complete.target\n[Service]\nType=oneshot\nExecStart=/bin/true\n"}
	required := map[string]string{
		"boot-complete.target.requires/disks.service":                          "../disks.service",
		"boot-complete.target.requires/systemd-boot-check-no-failures.service": "/lib/systemd/system/systemd-boot-check-no-failures.service",
	}
	planned := plan(t, files, required)
	for _, unit := range []string{"boot-complete.target", "disks.service", "systemd-boot-check-no-failures.service", "proa-judge.service"} {
		if !strings.Contains(planned, unit+": Installed new job "+unit+"/start") {
			t.Errorf("a boot does not start %s", unit)
		}
	}
	if strings.Contains(planned, cycle) {
		t.Errorf("systemd finds a cycle:\n%s", planned)
	}
	// It would find one: a target comes after what it wants.
	wanted := map[string]string{"multi-user.target.wants/boot-complete.target": "/lib/systemd/system/boot-complete.target"}
	if !strings.Contains(plan(t, files, required, wanted), cycle) {
		t.Error("systemd finds no cycle where there is one")
	}
}

// A health check of an extension is one of the judge's. What is ordered after the later
// of two units and before the earlier one would wait for itself.
func TestExtensionsAreAttachedThenMergedThenJudged(t *testing.T) {
	const between = "[Unit]\nDefaultDependencies=no\nAfter=%s\nBefore=%s\n[Service]\nType=oneshot\nExecStart=/bin/true\n"
	for _, order := range []struct {
		earlier, later string
		none           bool // they have no order
	}{
		{"proa-extensions.service", "systemd-sysext.service", false},
		{"systemd-sysext.service", "proa-extensions-units.service", false},
		{"proa-extensions-units.service", "proa-judge.service", false},
		{"boot-complete.target", "proa-judge.service", true},
	} {
		planned := plan(t, map[string]string{"between.service": fmt.Sprintf(between, order.later, order.earlier)}, units.ExtensionLinks(),
			map[string]string{"multi-user.target.wants/between.service": "../between.service"})
		if got := strings.Contains(planned, cycle); got == order.none {
			t.Errorf("%s before %s: a cycle: %t", order.earlier, order.later, got)
		}
	}
}
