package solver_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
)

// question is a relation or condition, and what one package provides.
type question struct{ wants, provides string }

// questions are ranges against ranges, with and without releases, and the
// conditions that RPM allows in Requires.
func questions() []question {
	var all []question
	ranges := []string{""}
	for _, op := range []string{"<", "<=", "=", ">=", ">"} {
		for _, v := range []string{"1", "2", "1-1", "1-2", "1:1-1"} {
			ranges = append(ranges, " "+op+" "+v)
		}
	}
	for _, want := range ranges {
		for _, have := range ranges {
			all = append(all, question{"NAME" + want, "NAME" + have})
		}
	}
	for _, want := range []string{
		"(NAME if absent)", "(absent if NAME)", "(absent if NAME else NAME)", "(absent if missing else NAME)", "(absent if missing else missing)",
		"(NAME and absent)", "(NAME or absent)", "(NAME >= 1 with NAME < 3)", "(NAME without absent)", "(NAME without NAME)",
	} {
		all = append(all, question{want, "NAME = 2"})
	}
	return all
}

var unmet = regexp.MustCompile(`(?m) is needed by wants(\d+)-1-1`)

func TestRelationsMatchAsRpmSays(t *testing.T) {
	t.Parallel()
	all := questions()
	var spec strings.Builder
	head := "Version: 1\nRelease: 1\nSummary: x\nLicense: x\n"
	spec.WriteString("Name: x\n" + head + "BuildArch: noarch\n%description\nx\n")
	for i, q := range all {
		name := fmt.Sprintf("cap%d", i)
		for kind, line := range map[string]string{"wants": "Requires: " + q.wants, "has": "Provides: " + q.provides} {
			fmt.Fprintf(&spec, "%%package -n %s%d\nSummary: x\n%s\n%%description -n %s%d\nx\n%%files -n %s%d\n", kind, i,
				strings.ReplaceAll(line, "NAME", name), kind, i, kind, i)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/x.spec", []byte(spec.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("rpmbuild", "-bb", "--quiet", "--define", "_topdir "+dir, "--define", "_binary_payload w0.ufdio", dir+"/x.spec")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("rpmbuild: %v\n%s", err, out)
	}
	files, err := filepath.Glob(dir + "/RPMS/noarch/*.rpm")
	if err != nil || len(files) != 2*len(all) {
		t.Fatalf("%d packages are built of %d: %v", len(files), 2*len(all), err)
	}
	install := exec.Command("rpm", append([]string{"--dbpath", dir + "/db", "-i", "--test", "--nosignature"}, files...)...)
	out, _ := install.CombinedOutput() // it fails: some requirements are not met
	refused := map[string]bool{}
	for _, m := range unmet.FindAllSubmatch(out, -1) {
		refused[string(m[1])] = true
	}
	if len(refused) < 50 || len(refused) > len(all)-50 {
		t.Fatalf("rpm refuses %d of %d:\n%.2000s", len(refused), len(all), out)
	}
	for i, q := range all {
		text := strings.ReplaceAll(fmt.Sprintf("wants 1; needs %s\nhas 1; provides %s\n", q.wants, q.provides), "NAME", "cap")
		got := !strings.HasPrefix(names(t, config(t, packages.RPM, text, "wants, has")), "error")
		if want := !refused[fmt.Sprint(i)]; got != want {
			t.Errorf("%s is satisfied by %s: %v, but rpm says %v", q.wants, q.provides, got, want)
		}
	}
}
