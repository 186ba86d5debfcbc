package units

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLinksAreThoseThatSystemctlEnableMakes(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "usr/lib/systemd/system")
	check(t, os.MkdirAll(folder, 0o755))
	args := []string{"--root=" + root, "enable"}
	for name, content := range Files() {
		check(t, os.WriteFile(filepath.Join(folder, name), content, 0o644))
	}
	args = append(args, "proa-judge.service", "proa-deadline.timer", "proa-agent.service", "proa-configure.service", "proa-extensions.service", "proa-extensions-units.service")
	if out, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
		t.Fatalf("systemctl enable: %v\n%s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(root, "etc/systemd/system/*/*"))
	check(t, err)
	for i := range made {
		made[i], err = filepath.Rel(filepath.Join(root, "etc/systemd/system"), made[i])
		check(t, err)
	}
	slices.Sort(made)
	links := Links()
	maps.Copy(links, ExtensionLinks())
	if ours := slices.Sorted(maps.Keys(links)); !slices.Equal(made, ours) {
		t.Errorf("links %v: systemctl makes %v", ours, made)
	}
	for link, target := range links {
		if _, ok := Files()[filepath.Base(filepath.Join(filepath.Dir(link), target))]; !ok {
			t.Errorf("%s points to %s, which is no unit", link, target)
		}
	}
}

// TestExtensionsDoNotLeadARescueToTheDefaultTarget has systemd itself judge command
// lines: those of kernel-command-line(7) that ask for another target, and others.
func TestExtensionsDoNotLeadARescueToTheDefaultTarget(t *testing.T) {
	var conditions []string
	for line := range strings.Lines(string(Files()["proa-extensions-units.service"])) {
		if strings.HasPrefix(line, "ConditionKernelCommandLine=") {
			conditions = append(conditions, strings.TrimSpace(line))
		}
	}
	for _, test := range []struct {
		line  string
		meets bool
	}{
		{"quiet proa.watchdog=120", true}, {"console=ttyS0,1 rescue.x root=1", true},
		{"quiet systemd.unit=rescue.target", false}, {"systemd.unit=x.target quiet", false},
		{"quiet emergency", false}, {"quiet -b", false}, {"quiet rescue", false}, {"quiet single", false},
		{"quiet -s", false}, {"quiet s", false}, {"quiet S", false}, {"quiet 1", false},
	} {
		cmd := exec.Command("systemd-analyze", append([]string{"condition"}, conditions...)...)
		cmd.Env = append(os.Environ(), "SYSTEMD_PROC_CMDLINE="+test.line)
		out, err := cmd.CombinedOutput()
		if (err == nil) != test.meets {
			t.Errorf("%s: %v\n%s", test.line, err, out)
		}
	}
}
