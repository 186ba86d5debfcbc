package units

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
