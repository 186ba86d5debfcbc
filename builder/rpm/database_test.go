package rpm_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rpmdb "github.com/knqyf263/go-rpmdb/pkg"
	_ "modernc.org/sqlite" // the driver that the scanner's library opens

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm"
	"github.com/proa-os/proa/builder/tree"
)

const epoch = 1_700_000_000

// databaseOf lays the payloads and writes the database, and puts the files of
// the latter into a folder.
func databaseOf(t testing.TB, at int64, payloads ...packages.Payload) string {
	t.Helper()
	into := tree.New()
	if err := rpm.WriteDatabase(into, payloads, at); err != nil {
		t.Fatal(err)
	}
	return unload(t, into)
}

func both(t testing.TB) []packages.Payload {
	fixture := packagesOfRPM(t)
	return []packages.Payload{readFile(t, fixture.alpha["zstd"]), readFile(t, fixture.beta)}
}

// TestRPMReadsTheDatabase asks rpm --root, which does chroot(2) and goes
// through the link in var/lib.
func TestRPMReadsTheDatabase(t *testing.T) {
	fixture := packagesOfRPM(t)
	root := databaseOf(t, epoch, both(t)...)
	ask := func(args ...string) string {
		return run(t, "unshare", append([]string{"-r", "rpm", "--root", root, "--dbpath", "/var/lib/rpm"}, args...)...)
	}
	sorted := func(text string) []string { return slices.Sorted(strings.Lines(text)) }
	if got := sorted(ask("-qa")); !slices.Equal(got, []string{"alpha-1.2~rc1-3.x86_64\n", "beta-1-1.noarch\n"}) {
		t.Errorf("-qa: %q", got)
	}
	for _, args := range [][]string{
		{"-ql"}, {"-qc"}, {"-q", "--requires"}, {"-q", "--provides"}, {"-q", "--scripts"}, {"-q", "--triggers"}, {"-q", "--filetriggers"},
		{"-q", "--changelog"}, {"-q", "--dump"}, {"-q", "--qf", "%{LICENSE} %{SIGMD5} %{SHA256HEADER} %{SHA1HEADER} %{RSAHEADER} %{ARCHIVESIZE} %{SIGSIZE}"},
	} {
		want := run(t, "rpm", append(slices.Clone(args), "-p", "--nosignature", fixture.alpha["zstd"])...)
		if got := ask(append(slices.Clone(args), "alpha")...); got != want || got == "" && args[len(args)-1] != "--changelog" {
			t.Errorf("%v: %q: want as from the package, %q", args, got, want)
		}
	}
	for _, args := range [][]string{{"-qf", "/usr/share/alpha/hard"}, {"-q", "--whatprovides", "everything"}, {"-q", "--whatrequires", "beta"}} {
		if got := ask(args...); got != "alpha-1.2~rc1-3.x86_64\n" {
			t.Errorf("%v: %q", args, got)
		}
	}
	if got := ask("-q", "--qf", "%{INSTALLTIME} [%{FILESTATES} ]", "beta"); got != "1700000000 0 " {
		t.Errorf("install time and states: %q", got)
	}
}

// TestRPMVerifiesWhatIsThere has rpm -V look at the files that were laid.
func TestRPMVerifiesWhatIsThere(t *testing.T) {
	fixture := packagesOfRPM(t)
	root := databaseOf(t, epoch, readFile(t, fixture.beta))
	file := filepath.Join(root, "usr/share/beta/beta")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("beta\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	verify := []string{"-r", "rpm", "--root", root, "--dbpath", "/var/lib/rpm", "-V", "--nodeps", "--nomtime", "beta"}
	if out, err := command("unshare", verify...); err != nil || out != "" {
		t.Errorf("rpm -V: %s%v", out, err)
	}
	if err := os.WriteFile(file, []byte("beTa\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := command("unshare", verify...); err == nil {
		t.Error("rpm -V has nothing to say about a changed file")
	}
}

// TestTheDatabaseIsTheOneThatRPMWrites has rpm install the same packages into a
// database of its own, and compares every row of every table.
func TestTheDatabaseIsTheOneThatRPMWrites(t *testing.T) {
	fixture := packagesOfRPM(t)
	theirs := t.TempDir()
	for _, path := range []string{fixture.alpha["zstd"], fixture.beta} {
		run(t, "unshare", "-r", "rpm", "--force-debian", "--root", theirs, "--dbpath", "/db", "-i", "--justdb", "--nodeps", "--nosignature",
			"--noscripts", "--notriggers", path)
	}
	dump := func(file string) string {
		lines := strings.Split(run(t, "sqlite3", file, ".dump"), "\n")
		lines = slices.DeleteFunc(lines, func(line string) bool {
			return strings.Contains(line, "sqlite_stat1") || strings.HasPrefix(line, "ANALYZE")
		})
		slices.Sort(lines) // rpm makes indexes when it makes their table
		return strings.Join(lines, "\n")
	}
	ours := databaseOf(t, epoch, both(t)...)
	times := strings.Fields(run(t, "rpm", "--dbpath", filepath.Join(theirs, "db"), "-qa", "--qf", "%{INSTALLTIME} %{INSTALLTID}\n"))
	want, got := dump(filepath.Join(theirs, "db/rpmdb.sqlite")), dump(filepath.Join(ours, "var/lib/rpm/rpmdb.sqlite"))
	for _, text := range times {
		// In ours, too: packages are built in the same second.
		want, got = replaceTime(t, want, text), replaceTime(t, got, text)
	}
	if got != want {
		a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("\n%.3000s\nwant\n%.3000s", a[i], b[i])
			}
		}
		t.Errorf("%d lines, want %d", len(a), len(b))
	}
	if check := run(t, "sqlite3", filepath.Join(ours, "var/lib/rpm/rpmdb.sqlite"), "PRAGMA integrity_check; PRAGMA foreign_key_check; PRAGMA journal_mode;"); check != "ok\ndelete\n" {
		t.Errorf("sqlite3: %q", check)
	}
}

// replaceTime puts the epoch of the tests in the place of a time, in the byte
// orders of headers and of the index.
func replaceTime(t *testing.T, dump, seconds string) string {
	t.Helper()
	hexOf := func(s string) (big, little string) {
		n := []byte{0, 0, 0, 0}
		var v uint32
		for _, c := range s {
			v = v*10 + uint32(c-'0')
		}
		n[0], n[1], n[2], n[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
		big = hex.EncodeToString(n)
		slices.Reverse(n)
		return big, hex.EncodeToString(n)
	}
	fromBig, fromLittle := hexOf(seconds)
	toBig, toLittle := hexOf("1700000000")
	return strings.NewReplacer(fromBig, toBig, "X'"+fromLittle+"'", "X'"+toLittle+"'").Replace(dump)
}

func TestTheDatabaseIsReproducibleInAnyOrder(t *testing.T) {
	payloads := both(t)
	read := func(root string) []byte {
		entries, err := os.ReadDir(filepath.Join(root, rpm.DatabaseFolder))
		if err != nil || len(entries) != 1 {
			t.Errorf("files %v, %v: want the database alone", entries, err)
		}
		data, err := os.ReadFile(filepath.Join(root, "var/lib/rpm/rpmdb.sqlite"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first := read(databaseOf(t, epoch, payloads...))
	slices.Reverse(payloads)
	if second := read(databaseOf(t, epoch, payloads...)); !bytes.Equal(first, second) {
		t.Error("the same packages in another order gave other bytes")
	}
	if later := read(databaseOf(t, epoch+1, payloads...)); bytes.Equal(first, later) {
		t.Error("another epoch gave the same bytes")
	}
}

// TestScannersReadTheDatabase uses the library of trivy and syft.
func TestScannersReadTheDatabase(t *testing.T) {
	root := databaseOf(t, epoch, both(t)...)
	db, err := rpmdb.Open(filepath.Join(root, "var/lib/rpm/rpmdb.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	list, err := db.ListPackages()
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v: want two packages", list, err)
	}
	files, err := list[0].InstalledFileNames()
	if err != nil || !slices.Contains(files, "/usr/share/alpha/grün und blau") {
		t.Errorf("files %v, %v", files, err)
	}
	if p := list[0]; p.Name != "alpha" || p.EpochNum() != 2 || p.Version != "1.2~rc1" || p.Release != "3" || p.License != "MIT AND Apache-2.0" || p.InstallTime != epoch {
		t.Errorf("%+v", p)
	}
}

func TestTheDatabaseFindsItsPlace(t *testing.T) {
	directory := func(path string) *tree.Tree {
		into := tree.New()
		if err := into.Put(path, &tree.Node{Kind: tree.Directory, Mode: 0o755, Source: "other"}); err != nil {
			t.Fatal(err)
		}
		return into
	}
	empty := directory("var/lib/rpm")
	if err := rpm.WriteDatabase(empty, nil, epoch); err != nil {
		t.Error(err)
	}
	if n, ok := empty.Lookup("var/lib/rpm"); !ok || n.Target != "../../usr/lib/sysimage/rpm" {
		t.Errorf("var/lib/rpm is %+v", n)
	}
	if _, ok := empty.Resolve("var/lib/rpm/rpmdb.sqlite"); !ok {
		t.Error("var/lib/rpm does not lead to the database")
	}
	if err := rpm.WriteDatabase(directory("var/lib/rpm/other"), nil, epoch); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("error %v: want one about what is in the way", err)
	}
	for _, at := range []int64{-1, 1 << 32} {
		if err := rpm.WriteDatabase(tree.New(), nil, at); err == nil {
			t.Errorf("epoch %d was taken", at)
		}
	}
	broken := packages.Payload{About: packages.About{Name: "evil", Record: map[string][]byte{"header": []byte("rubbish rubbish")}}}
	if err := rpm.WriteDatabase(tree.New(), []packages.Payload{broken}, epoch); err == nil || !strings.Contains(err.Error(), "evil") {
		t.Errorf("error %v: want one about the package", err)
	}
}
