package deb_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/deb/debtest"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
	"github.com/proa-os/proa/manifests"
)

// fixtures are two packages with all that the database keeps; the second one
// takes over a file of the first. The architecture is the host's, so that dpkg
// installs them.
func fixtures(t testing.TB) []string {
	t.Helper()
	arch := string(manifests.HostArch())
	folder := t.TempDir()
	script := "#!/bin/sh\nexit 0\n"
	return []string{
		debtest.Build(t, folder, "libsample", "Package: libsample\nVersion: 1:2.0-1\nArchitecture: "+arch+`
Multi-Arch: same
Source: sampler (2.0-1)
Maintainer: T <t@example.org>
Installed-Size: 12
Section: libs
Priority: optional
Homepage: https://example.org
Provides: libvirtual (= 3),
 libother
Suggests: nothing
Breaks: old (<< 2)
Description: short
 long
 .
 longer
X-Odd-Field: odd  value
 of two lines
Essential: yes
`, map[string]string{
			"DEBIAN/conffiles": "/etc/sample/b.conf\n/etc/sample/a.conf\n", "DEBIAN/shlibs": "libx 1 libsample\n", "DEBIAN/postinst": script,
			"DEBIAN/triggers":   "# comment\ninterest /usr/share/sample\ninterest-noawait sample-trigger\nactivate-noawait ldconfig\n",
			"etc/sample/a.conf": "a", "etc/sample/b.conf": "b", "usr/lib/sample/lib.so": "lib", "usr/lib/sample/alias": "-> lib.so",
			"usr/share/doc/libsample/copyright": "free", "usr/share/sample/taken": "the first's",
		}),
		debtest.Build(t, folder, "sample-data", `Package: sample-data
Version: 2.1
Architecture: all
Essential: no
Multi-Arch: foreign
Maintainer: T <t@example.org>
Pre-Depends: libsample
Depends: libsample (>= 1:2.0-1), libsample (<< 1:3) | libother,
 libvirtual (= 3)
Replaces: libsample (<< 1:2.1)
Description: data
`, map[string]string{
			"DEBIAN/preinst": script, "DEBIAN/prerm": script, "DEBIAN/triggers": "interest-noawait /usr/share/sample\n",
			"DEBIAN/md5sums":         "d41d8cd98f00b204e9800998ecf8427e  usr/share/sample/empty\n",
			"usr/share/sample/taken": "the second's", "usr/share/sample/empty": "",
		}),
	}
}

// installed lays packages into a new tree and records them there.
func installed(t testing.TB, paths ...string) *tree.Tree {
	t.Helper()
	into := tree.New()
	if err := deb.Prepare(into, manifests.HostArch()); err != nil {
		t.Fatal(err)
	}
	install(t, into, paths...)
	return into
}

func install(t testing.TB, into *tree.Tree, paths ...string) {
	t.Helper()
	store := newStore(t)
	var payloads []packages.Payload
	for _, path := range paths {
		p, err := deb.Read(t.Context(), store, path, "deb packages")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entries {
			if err := into.Apply(e); err != nil {
				t.Fatal(err)
			}
		}
		payloads = append(payloads, p)
	}
	if err := deb.WriteDatabase(into, payloads); err != nil {
		t.Fatal(err)
	}
}

// export writes a tree to a folder.
func export(t testing.TB, from *tree.Tree) string {
	t.Helper()
	root := t.TempDir()
	if err := from.Walk(func(path string, n *tree.Node) error {
		at := filepath.Join(root, path)
		switch n.Kind {
		case tree.Directory:
			return os.MkdirAll(at, 0o755)
		case tree.Symlink:
			return os.Symlink(n.Target, at)
		}
		data, err := from.ReadFile(path, 1<<30)
		if err != nil {
			return err
		}
		return os.WriteFile(at, data, os.FileMode(n.Mode))
	}); err != nil {
		t.Fatal(err)
	}
	return root
}

// dpkgInstalls is the root that dpkg itself makes of packages.
func dpkgInstalls(t testing.TB, paths ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, folder := range []string{"info", "updates", "triggers", "alternatives", "parts"} {
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"--root=" + root, "--force-not-root", "--force-script-chrootless", "--force-unsafe-io", "--log=/dev/null", "--install"}
	for _, path := range paths {
		tool(t, nil, "dpkg", append(args, path)...)
	}
	return root
}

// read lists the files of a database with their modes and contents. Lines of
// the triggers' files have no order.
func readDatabase(t testing.TB, folder string) map[string]string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	if err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, folder+"/")
		text := string(data)
		if strings.HasPrefix(name, "triggers/") {
			lines := strings.Split(text, "\n")
			slices.Sort(lines)
			text = strings.Join(lines, "\n")
		}
		files[name] = info.Mode().String() + " " + text
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheDatabaseIsWhatDpkgWrites(t *testing.T) {
	t.Parallel()
	paths := fixtures(t)
	want := readDatabase(t, filepath.Join(dpkgInstalls(t, paths...), "var/lib/dpkg"))
	got := readDatabase(t, filepath.Join(export(t, installed(t, paths...)), "var/lib/dpkg"))
	for _, own := range []string{"lock", "lock-frontend", "triggers/Lock", "status-old", "available"} {
		delete(want, own) // of a running dpkg
	}
	if got["arch"] != "-rw-r--r-- "+string(manifests.HostArch())+"\n" {
		t.Errorf("arch: %q", got["arch"])
	}
	delete(got, "arch") // dpkg writes it when it is asked about architectures
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s:\n%s\ndpkg has\n%s", name, got[name], text)
		}
	}
	for name, text := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s, which dpkg has not:\n%s", name, text)
		}
	}
}

func TestDpkgIsContentWithTheDatabase(t *testing.T) {
	t.Parallel()
	root := export(t, installed(t, fixtures(t)...))
	dpkg := func(name string, args ...string) string {
		t.Helper()
		return string(tool(t, nil, name, append([]string{"--root=" + root}, args...)...))
	}
	arch := string(manifests.HostArch())
	want := "libsample:" + arch + "\t1:2.0-1\tinstall ok installed\nsample-data\t2.1\tinstall ok installed\n"
	if got := dpkg("dpkg-query", "-W", "-f", "${binary:Package}\t${Version}\t${Status}\n"); got != want {
		t.Errorf("dpkg-query has\n%s\nwant\n%s", got, want)
	}
	if got := dpkg("dpkg", "-l"); !strings.Contains(got, "ii  libsample:"+arch) || !strings.Contains(got, "ii  sample-data ") {
		t.Errorf("dpkg -l: %s", got)
	}
	if got := dpkg("dpkg", "-L", "sample-data"); got != "/.\n/usr\n/usr/share\n/usr/share/sample\n/usr/share/sample/empty\n/usr/share/sample/taken\n" {
		t.Errorf("dpkg -L: %s", got)
	}
	if got := dpkg("dpkg", "-S", "/usr/share/sample/taken"); got != "sample-data: /usr/share/sample/taken\n" {
		t.Errorf("dpkg -S: %s", got)
	}
	if got := dpkg("dpkg", "--audit"); got != "" {
		t.Errorf("dpkg --audit: %s", got)
	}
	// The first package's digests still have the file that the second took over,
	// with dpkg, too.
	const taken = "??5??????   /usr/share/sample/taken\n"
	if got := dpkg("dpkg", "--verify"); got != taken {
		t.Errorf("dpkg --verify: %s", got)
	}
	if err := os.WriteFile(filepath.Join(root, "usr/lib/sample/lib.so"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dpkg", "--root="+root, "--verify")
	if got, _ := cmd.Output(); string(got) != "??5??????   /usr/lib/sample/lib.so\n"+taken {
		t.Errorf("dpkg --verify of a changed file: %s", got)
	}
}

func TestTheDatabaseDoesNotDependOnTheOrder(t *testing.T) {
	t.Parallel()
	paths := fixtures(t)
	database := func(paths ...string) []string {
		lines, err := treetest.List(installed(t, paths...))
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "usr/lib/sysimage") })
	}
	if a, b := database(paths[0], paths[1]), database(paths[1], paths[0]); !slices.Equal(a, b) || len(a) < 20 {
		t.Errorf("one way:\n%s\nthe other:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

func TestWhatAnEarlierSourceRecordedStays(t *testing.T) {
	t.Parallel()
	paths := fixtures(t)
	// As from an image that dpkg has made: its folder is not a link yet.
	into := tree.New()
	root := dpkgInstalls(t, paths[0])
	if err := filepath.WalkDir(filepath.Join(root, "var/lib/dpkg"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n := &tree.Node{Mode: 0o644, Source: "oci base"}
		if len(data) > 0 {
			n.Content = tree.Content{At: strings.NewReader(string(data)), Size: int64(len(data))}
		}
		return into.Put(strings.TrimPrefix(path, root+"/"), n)
	}); err != nil {
		t.Fatal(err)
	}
	install(t, into, paths[1])
	at := filepath.Join(export(t, into))
	query := func() string {
		return string(tool(t, nil, "dpkg-query", "--root="+at, "-W", "-f", "${Package} ${Version} ${Status}\n"))
	}
	if got := query(); got != "libsample 1:2.0-1 install ok installed\nsample-data 2.1 install ok installed\n" {
		t.Errorf("dpkg-query has %s", got)
	}
	triggers, err := into.ReadFile("var/lib/dpkg/triggers/File", 1000)
	want := "/usr/share/sample libsample:" + string(manifests.HostArch()) + "\n/usr/share/sample sample-data/noawait\n"
	if err != nil || string(triggers) != want {
		t.Errorf("triggers %q, %v: want %q", triggers, err, want)
	}
	// Another version takes the place of the one before, with all it had.
	install(t, into, debtest.Build(t, t.TempDir(), "other", "Package: libsample\nVersion: 1:2.5\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: x\n", nil))
	at = export(t, into)
	if got := query(); got != "libsample 1:2.5 install ok installed\nsample-data 2.1 install ok installed\n" {
		t.Errorf("dpkg-query has %s", got)
	}
	names, err := into.Children("var/lib/dpkg/info")
	if err != nil || slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "libsample:") }) || !slices.Contains(names, "libsample.list") {
		t.Errorf("info has %q, %v", names, err)
	}
	if triggers, err := into.ReadFile("var/lib/dpkg/triggers/File", 1000); err != nil || strings.Contains(string(triggers), "libsample") {
		t.Errorf("triggers %q, %v", triggers, err)
	}
}

func TestTriggersThatLeadOutAreRefused(t *testing.T) {
	for _, line := range []string{"interest ../x", "interest a/b", "interest .x", "interest File", "interest", "interest a b"} {
		p := packages.Payload{About: packages.About{Format: packages.Deb, Name: "a", Version: "1", Arch: "all", Record: map[string][]byte{
			"control": []byte("Package: a\nVersion: 1\nArchitecture: all\n"), "triggers": []byte(line + "\n"),
		}}}
		if err := deb.WriteDatabase(tree.New(), []packages.Payload{p}); err == nil || !strings.Contains(err.Error(), "triggers") {
			t.Errorf("%q: error %v", line, err)
		}
	}
}
