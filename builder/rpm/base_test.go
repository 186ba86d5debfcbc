package rpm_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

// TestPackagesOnABaseAreAnUpgrade has rpm upgrade the same root with the same
// packages.
func TestPackagesOnABaseAreAnUpgrade(t *testing.T) {
	t.Parallel()
	base, later := packagesOfRPM(t).base, packagesOfRPM(t).later
	root := baseRoot(t, base["tool"], base["data"], base["legacy"], base["stays"])
	into := load(t, root)
	news := []string{later["data"], later["tool"], later["successor"]}
	gone, err := add(t, into, news...)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range gone {
		names = append(names, g.Name+" "+g.Version+" "+g.Arch)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"data 1-1 noarch", "legacy 1-1 noarch", "tool 1-1 x86_64"}) {
		t.Errorf("gone: %q", names)
	}
	ours := unload(t, into)

	query := []string{"-qa", "--qf", `%{NEVRA} %{SIGMD5} %{SHA256HEADER} [%{FILENAMES} %{FILESTATES} ]\n`}
	before := rpmIn(t, root, "-q", "--qf", "%{INSTALLTIME}", "stays")
	if got := rpmIn(t, ours, "-q", "--qf", "%{INSTALLTIME}", "stays"); got != before {
		t.Errorf("stays was installed at %s: want %s, as in the base", got, before)
	}
	if out, err := command("unshare", "-r", "rpm", "--root", ours, "--dbpath", "/var/lib/rpm", "-Va", "--nodeps", "--nomtime"); err != nil || out != "" {
		t.Errorf("rpm -Va: %s%v", out, err)
	}
	if got := rpmIn(t, ours, "-ql", "tool"); strings.Contains(got, "gone") || !strings.Contains(got, "/usr/share/tool/new") {
		t.Errorf("rpm -ql tool: %s", got)
	}
	if got := rpmIn(t, ours, "-qf", "/usr/share/common"); got != "stays-1-1.noarch\n" {
		t.Errorf("rpm -qf of a shared file: %s", got)
	}
	// rpm keeps configuration that nobody has changed not, either. A directory
	// that becomes a link is beyond it.
	if err := os.RemoveAll(filepath.Join(root, "usr/share/turns")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "usr/share/tool/was-file")); err != nil {
		t.Fatal(err)
	}
	rpmIn(t, root, append([]string{"--force-debian", "-U", "--nodeps", "--nosignature"}, news...)...)
	if got, want := slices.Sorted(strings.Lines(rpmIn(t, ours, query...))), slices.Sorted(strings.Lines(rpmIn(t, root, query...))); !slices.Equal(got, want) {
		t.Errorf("database\n%s\nrpm has\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
	if got, want := listRoot(t, ours), listRoot(t, root); !slices.Equal(got, want) {
		t.Errorf("files\n%s\nrpm has\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
}

func TestWhatCannotStandBesideTheBaseIsRefused(t *testing.T) {
	t.Parallel()
	base, later := packagesOfRPM(t).base, packagesOfRPM(t).later
	root := baseRoot(t, base["data"], base["stays"])
	for name, words := range map[string]string{
		"enemy":   "package enemy 1-1 cannot be added to package stays 1-1, which an earlier source brought: the latter conflicts with enemy < 2",
		"foe":     "the latter conflicts with (foe and data)",
		"ancient": "the latter obsoletes ancient",
		"quarrel": "the former conflicts with stays = 1",
		"thief":   `path "usr/share/stays/f" is in package stays 1-1 and in package thief 2-1: the contents differ`,
	} {
		if _, err := add(t, load(t, root), later[name]); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: error %v: want %q", name, err, words)
		}
		if _, err := command("unshare", "-r", "rpm", "--force-debian", "--root", root, "--dbpath", "/var/lib/rpm", "-U", "--test", "--nosignature", later[name]); err == nil {
			t.Errorf("%s: rpm does not mind", name)
		}
	}
}

// TestASecondSourceUpgradesTheFirst puts packages of two sources into one tree.
func TestASecondSourceUpgradesTheFirst(t *testing.T) {
	t.Parallel()
	base, later := packagesOfRPM(t).base, packagesOfRPM(t).later
	build := func() *tree.Tree {
		into := tree.New()
		if gone, err := add(t, into, base["stays"], base["tool"], base["data"]); err != nil || len(gone) > 0 {
			t.Fatal(gone, err)
		}
		if gone, err := add(t, into, later["tool"]); err != nil || len(gone) != 1 || gone[0].Name != "tool" {
			t.Fatal(gone, err)
		}
		return into
	}
	root := unload(t, build())
	if got := slices.Sorted(strings.Lines(rpmIn(t, root, "-qa"))); !slices.Equal(got, []string{"data-1-1.noarch\n", "stays-1-1.noarch\n", "tool-2-1.x86_64\n"}) {
		t.Errorf("rpm -qa: %q", got)
	}
	if out, err := command("unshare", "-r", "rpm", "--root", root, "--dbpath", "/var/lib/rpm", "-Va", "--nodeps", "--nomtime"); err != nil || out != "" {
		t.Errorf("rpm -Va: %s%v", out, err)
	}
	read := func(into *tree.Tree) string {
		data, err := into.ReadFile("var/lib/rpm/rpmdb.sqlite", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if read(build()) != read(build()) {
		t.Error("twice the same sources gave two databases")
	}
}

func TestOlderDatabasesAreRefused(t *testing.T) {
	t.Parallel()
	later := packagesOfRPM(t).later
	for name, format := range map[string]string{"var/lib/rpm/Packages": "Berkeley DB", "usr/lib/sysimage/rpm/Packages.db": "NDB"} {
		into := tree.New()
		if err := into.Put(name, &tree.Node{Mode: 0o644, Source: "base"}); err != nil {
			t.Fatal(err)
		}
		if _, err := add(t, into, later["tool"]); err == nil || !strings.Contains(err.Error(), name+" is a database in the format "+format) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestTheLogOfADatabaseCounts leaves the database as rpm does when it is
// stopped: what it has written last is in the log.
func TestTheLogOfADatabaseCounts(t *testing.T) {
	t.Parallel()
	base, later := packagesOfRPM(t).base, packagesOfRPM(t).later
	root := baseRoot(t, base["data"], base["stays"])
	folder, err := filepath.EvalSymlinks(filepath.Join(root, "var/lib/rpm"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "rpmdb.sqlite")
	// A copy while the database is open: with the log, without its index.
	run(t, "sqlite3", file, "PRAGMA journal_mode=wal;", "PRAGMA wal_autocheckpoint=0;", "DELETE FROM Packages WHERE hnum IN (SELECT hnum FROM Name WHERE key = 'data');",
		".shell cp "+file+"-wal "+file+"-kept && cp "+file+" "+file+"-body")
	for from, to := range map[string]string{"-kept": "-wal", "-body": ""} {
		if err := os.Rename(file+from, file+to); err != nil {
			t.Fatal(err)
		}
	}
	into := load(t, root)
	if n, ok := into.Resolve("var/lib/rpm/rpmdb.sqlite-wal"); !ok || n.Content.Size == 0 {
		t.Fatal("there is no log")
	}
	if _, err := add(t, into, later["tool"]); err != nil {
		t.Fatal(err)
	}
	if got := rpmIn(t, unload(t, into), "-qa"); strings.Contains(got, "data") || !strings.Contains(got, "stays") || !strings.Contains(got, "tool-2") {
		t.Errorf("rpm -qa: %s", got)
	}
	if names, err := into.Children("usr/lib/sysimage/rpm"); err != nil || !slices.Equal(names, []string{"rpmdb.sqlite"}) {
		t.Errorf("files %q, %v: want the database alone", names, err)
	}
}

// TestWhatWasNotInstalledIsNotRemoved has rpm leave out a path, at which
// somebody has put a file of their own.
func TestWhatWasNotInstalledIsNotRemoved(t *testing.T) {
	t.Parallel()
	base, later := packagesOfRPM(t).base, packagesOfRPM(t).later
	root := baseRoot(t, "--excludepath", "/usr/share/tool/old", base["tool"])
	own := "usr/share/tool/old/gone"
	if err := os.MkdirAll(filepath.Join(root, filepath.Dir(own)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, own), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	into := load(t, root)
	if _, err := add(t, into, later["tool"], later["data"]); err != nil {
		t.Fatal(err)
	}
	if data, err := into.ReadFile(own, 10); string(data) != "mine" {
		t.Errorf("%q, %v: want the file that no package brought", data, err)
	}
}
