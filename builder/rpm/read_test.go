package rpm_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	rpmutils "github.com/sassoftware/go-rpmutils"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm"
	"github.com/proa-os/proa/builder/tree"
)

func readFile(t testing.TB, path string) packages.Payload {
	t.Helper()
	p, err := rpm.Read(t.Context(), newStore(t), path, rpm.ReadConfig{Keys: packagesOfRPM(t).ring, Source: "rpm"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPackageIsReadAsItsSpecSays(t *testing.T) {
	for name, path := range packagesOfRPM(t).alpha {
		p := readFile(t, path)
		got, err := lay(t, p)
		if err != nil {
			t.Fatal(err)
		}
		const capability = `security.capability="\x01\x00\x00\x02\x000\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"`
		want := []string{
			". directory 0755 0:0", "dev directory 0755 0:0", "dev/alpha-block block device 0660 0:0 8:17",
			"dev/alpha-char character device 0600 0:0 5:1", "etc directory 0755 0:0", "etc/alpha.d directory 0750 0:0",
			`etc/alpha.d/conf file 0640 0:0 "conf\n"`, `etc/alpha.d/more file 0644 0:0 "more\n"`, "usr directory 0755 0:0",
			"usr/bin directory 0755 0:0", `usr/bin/alpha file 0755 0:0 "tool\n"`, "usr/bin/alpha-hard = usr/bin/alpha",
			"usr/bin/alpha-link symbolic link 0777 0:0 -> alpha", `usr/bin/ping file 0755 0:0 "ping\n" ` + capability,
			"usr/share directory 0755 0:0", "usr/share/alpha directory 1777 0:0", `usr/share/alpha/empty file 0644 0:0 ""`,
			`"usr/share/alpha/grün und blau" file 0644 0:0 "umlaut\n"`, "usr/share/alpha/hard = usr/bin/alpha",
			"usr/share/alpha/large file 4711 0:0 300000 bytes 886715e4051e827f",
			"usr/share/alpha/link symbolic link 0777 0:0 -> /etc/alpha.d/conf",
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		about := p.About
		about.Record, about.Provides, about.Requires = nil, nil, nil
		if want := alpha(); !reflect.DeepEqual(about, want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", name, about, want)
		}
	}
}

// alpha is what testdata/alpha.spec says.
func alpha() packages.About {
	return packages.About{
		Format: packages.RPM, Name: "alpha", Version: "2:1.2~rc1-3", Arch: "x86_64", Source: "alpha-1.2~rc1-3.src.rpm", License: "MIT AND Apache-2.0",
		Config: []string{"etc/alpha.d/conf", "etc/alpha.d/more"},
		Owners: map[string]packages.Owner{
			"dev/alpha-block": {User: "root", Group: "disk"}, "etc/alpha.d": {User: "root", Group: "alpha"},
			"etc/alpha.d/conf": {User: "alpha", Group: "alpha"},
		},
		Scripts: []packages.Script{
			{When: "%pretrans", Interpreter: "<lua>", Text: `print("pretrans")`}, {When: "%pre", Interpreter: "/bin/sh", Text: "echo pre"},
			{When: "%post", Interpreter: "/sbin/ldconfig"}, {When: "%preun", Interpreter: "/bin/sh", Text: "echo preun"},
			{When: "%postun", Interpreter: "/usr/bin/perl -w", Text: `print "postun";`},
			{When: "%posttrans", Interpreter: "/bin/sh", Text: "echo posttrans"},
			{When: "%triggerin -- beta >= 1, gamma", Interpreter: "/bin/sh", Text: "echo triggerin"},
			{When: "%triggerpostun -- beta", Interpreter: "<lua>", Text: `print("triggerpostun")`},
			{When: "%filetriggerin -- /usr/lib, /usr/lib64", Interpreter: "/bin/sh", Text: "echo filetriggerin"},
			{When: "%transfiletriggerpostun -- /usr/share/alpha", Interpreter: "/bin/sh", Text: "echo transfiletriggerpostun"},
		},
	}
}

// TestEntriesAreWhatRPMSays compares with rpm's own view of names, modes,
// owners, links and contents.
func TestEntriesAreWhatRPMSays(t *testing.T) {
	fixture := packagesOfRPM(t)
	for _, path := range fixture.alpha {
		if out := run(t, "rpm", "-Kv", "--dbpath", importKey(t, fixture), path); !strings.Contains(out, "Signature, key ID") || strings.Contains(out, "NOKEY") {
			t.Errorf("rpm does not accept the signature:\n%s", out)
		}
		lines := run(t, "rpm", "-qp", "--nosignature", "--qf", `[%{FILENAMES}|%{FILEMODES:octal}|%{FILEUSERNAME}|%{FILEGROUPNAME}|%{FILELINKTOS}|%{FILEFLAGS}\n]`, path)
		unpacked := t.TempDir()
		run(t, "sh", "-c", `cd "$1" && rpm2cpio "$2" | cpio -idm --quiet --no-absolute-filenames 2>/dev/null; test -e usr/bin/alpha`, "sh", unpacked, path)
		p := readFile(t, path)
		var want, got []string
		for line := range strings.Lines(lines) {
			f := strings.Split(strings.TrimSpace(line), "|")
			if f[5] != "64" {
				want = append(want, strings.Join(f[:5], "|"))
			}
		}
		nodes := map[string]*tree.Node{}
		for _, e := range p.Entries {
			n := e.Node
			if n == nil {
				n = nodes[e.Link]
			}
			nodes[e.Path] = n
			got = append(got, describe(t, e.Path, n, p.Owners[e.Path], unpacked))
		}
		if !slices.Equal(got, want) {
			t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// describe shows an entry as the query does, and compares its contents with
// what cpio has unpacked.
func describe(t *testing.T, path string, n *tree.Node, owner packages.Owner, unpacked string) string {
	kinds := map[tree.Kind]uint32{tree.File: 0o100000, tree.Directory: 0o040000, tree.Symlink: 0o120000, tree.CharDevice: 0o020000, tree.BlockDevice: 0o060000}
	if owner == (packages.Owner{}) {
		owner = packages.Owner{User: "root", Group: "root"}
	}
	if n.Kind == tree.File {
		want, err := os.ReadFile(filepath.Join(unpacked, path))
		got, err2 := io.ReadAll(n.Content.Open())
		if n.Content.Size == 0 {
			got, err2 = nil, nil
		}
		if err != nil || err2 != nil || string(got) != string(want) {
			t.Errorf("%s: %d bytes, %v %v: want %d", path, len(got), err, err2, len(want))
		}
	}
	return fmt.Sprintf("/%s|%o|%s|%s|%s", path, kinds[n.Kind]|n.Mode, owner.User, owner.Group, n.Target)
}

func importKey(t *testing.T, fixture built) string {
	t.Helper()
	db := t.TempDir()
	run(t, "rpmkeys", "--dbpath", db, "--import", filepath.Join(fixture.dir, "key.asc"))
	return db
}

func TestDependenciesAreWhatRPMSays(t *testing.T) {
	fixture := packagesOfRPM(t)
	path := fixture.alpha["zstd"]
	p, err := rpm.Describe(t.Context(), path, fixture.ring)
	if err != nil {
		t.Fatal(err)
	}
	show := func(rs []packages.Relation) string {
		var lines []string
		for _, r := range rs {
			lines = append(lines, r.String())
		}
		return strings.Join(lines, "\n") + "\n"
	}
	for option, got := range map[string]string{"--provides": show(p.Provides), "--obsoletes": show(p.Obsoletes)} {
		if want := run(t, "rpm", "-qp", "--nosignature", option, path); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", option, got, want)
		}
	}
	plain := func(name string, op packages.Op, version string) packages.Requirement {
		return packages.Requirement{Relation: packages.Relation{Name: name, Op: op, Version: version}}
	}
	rich := packages.Requirement{Joined: packages.If, Args: []packages.Requirement{plain("gamma", packages.GreaterEqual, "2"), plain("beta", 0, "")}}
	found := func(r packages.Requirement) bool {
		return slices.ContainsFunc(p.Requires, func(other packages.Requirement) bool { return reflect.DeepEqual(r, other) })
	}
	for _, r := range []packages.Requirement{plain("beta", packages.GreaterEqual, "1"), rich, plain("/bin/sh", 0, ""), plain("config(alpha)", packages.Equal, "2:1.2~rc1-3")} {
		if !found(r) {
			t.Errorf("%+v is not among the requirements: %+v", r, p.Requires)
		}
	}
	for _, r := range p.Requires {
		if strings.HasPrefix(r.Relation.Name, "rpmlib(") {
			t.Errorf("rpm itself is required: %v", r)
		}
	}
	if len(p.Conflicts) != 1 || p.Conflicts[0].Relation.String() != "old-alpha < 1" || len(p.Recommends) != 1 || len(p.Supplements) != 1 || p.Supplements[0].Joined != packages.And {
		t.Errorf("conflicts %+v, recommends %+v, supplements %+v", p.Conflicts, p.Recommends, p.Supplements)
	}
	if !slices.Contains(p.Files, "/usr/bin/alpha") || p.URL != path {
		t.Errorf("files %v of %s", p.Files, p.URL)
	}
}

// TestTheLibraryReadsTheSame compares with a reader of RPM in Go.
func TestTheLibraryReadsTheSame(t *testing.T) {
	path := packagesOfRPM(t).alpha["xz"]
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	theirs, err := rpmutils.ReadRpm(file)
	if err != nil {
		t.Fatal(err)
	}
	infos, err := theirs.Header.GetFiles()
	if err != nil {
		t.Fatal(err)
	}
	p := readFile(t, path)
	paths := map[string]bool{}
	for _, e := range p.Entries {
		paths["/"+e.Path] = true
	}
	for _, info := range infos {
		if ghost := info.Flags()&64 != 0; paths[info.Name()] == ghost {
			t.Errorf("%s: %v, but the library says ghost %v", info.Name(), paths[info.Name()], ghost)
		}
	}
	if len(infos) != len(paths)+1 {
		t.Errorf("%d entries: want one less than %d", len(paths), len(infos))
	}
}
