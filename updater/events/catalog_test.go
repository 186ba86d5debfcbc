package events

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the catalogue that is checked against")

const catalogFile = "../units/catalog/proa.catalog"

func TestTheCatalogueInTheImageIsThatOfTheTable(t *testing.T) {
	if *update {
		check(t, os.WriteFile(catalogFile, []byte(Catalog()), 0o644))
	}
	have, err := os.ReadFile(catalogFile)
	check(t, err)
	if string(have) != Catalog() {
		t.Errorf("%s is out of date: go test ./updater/events -update", catalogFile)
	}
}

func TestTheReferenceListsEveryMessageID(t *testing.T) {
	reference, err := os.ReadFile("../../docs/reference/interfaces.md")
	check(t, err)
	words := map[Priority]string{Crit: "critical", Err: "error", Warning: "warning", Notice: "notice", Info: "info"}
	for _, k := range Kinds() {
		if line := "| `" + k.Name() + "` | `" + k.ID() + "` | " + words[k.Priority()] + " | " + k.Subject() + " |\n"; !strings.Contains(string(reference), line) {
			t.Errorf("docs/reference/interfaces.md lacks %s", line)
		}
	}
}

func TestJournalctlFindsEveryMessageID(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "usr/lib/systemd/catalog")
	check(t, os.MkdirAll(folder, 0o755))
	check(t, os.WriteFile(filepath.Join(folder, "proa.catalog"), []byte(Catalog()), 0o644))
	run(t, "journalctl", "--root="+root, "--update-catalog")
	var list []string
	for line := range strings.Lines(run(t, "journalctl", "--root="+root, "--list-catalog")) {
		list = append(list, strings.TrimSpace(line))
	}
	var want []string
	for _, k := range Kinds() {
		want = append(want, k.ID()+" proa: "+k.Subject())
	}
	slices.Sort(want)
	if !slices.Equal(list, want) {
		t.Errorf("journalctl lists\n%s\nwant\n%s", strings.Join(list, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatTheExplanationNeedsIsMissedWhenItIsNotThere(t *testing.T) {
	e := Event{Kind: RebootDeferred, Text: "a backup runs"}
	if got := e.Missing(); !slices.Equal(got, []string{"PROA_UNTIL"}) {
		t.Errorf("missing %v: want PROA_UNTIL", got)
	}
	e.Fields = map[string]string{Until: "2030-01-01T00:00:00Z"}
	if got := e.Missing(); got != nil {
		t.Errorf("missing %v: want nothing", got)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var problems strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, problems.String())
	}
	return string(out)
}
