package deb_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/deb/debtest"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
	"github.com/proa-os/proa/manifests"
)

// limits keep a test that fails from filling the disk.
func limits() content.Limits {
	l := content.DefaultLimits()
	l.Free, l.Expanded, l.Spool = 4<<20, 1<<30, 1<<30
	return l
}

func newStore(t testing.TB) *content.Store {
	t.Helper()
	store, err := content.NewBounded(t.TempDir(), limits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hostile.deb")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// tool runs a program that the test cannot do without.
func tool(t testing.TB, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, stderr.Bytes(), out)
	}
	return out
}

// laid reads a package into a new tree and shows that.
func laid(t testing.TB, path string) ([]string, error) {
	t.Helper()
	p, err := deb.Read(t.Context(), newStore(t), path, "hostile")
	if err != nil {
		return nil, err
	}
	into := tree.New()
	for _, e := range p.Entries {
		if err := into.Apply(e); err != nil {
			return nil, err
		}
	}
	lines, err := treetest.List(into)
	if err != nil {
		t.Fatal(err)
	}
	return lines, nil
}

func TestHostileArchivesStayInside(t *testing.T) {
	t.Parallel()
	cases := tartest.Hostile()
	if len(cases) < 60 {
		t.Errorf("%d cases: want at least 60", len(cases))
	}
	// What dpkg's rules make of them, where that is not what any archive's do.
	refused := map[string]string{"newline": "want no newline", "bzip2": "not a tar archive"}
	become := map[string][]string{"root with a mode": {}}
	for _, c := range cases {
		got, err := laid(t, write(t, debtest.Package(c.Archive)))
		if rule, ok := refused[c.Name]; ok {
			c.Error = rule
		}
		if lines, ok := become[c.Name]; ok {
			c.Tree = lines
		}
		if c.Name == "bzip2" && err != nil {
			c.Error = "bzip2"
		}
		if c.Error != "" {
			if err == nil || !strings.Contains(err.Error(), c.Error) {
				t.Errorf("%s: error %v: want %q in it; tree %q", c.Name, err, c.Error, got)
			}
			continue
		}
		want := c.Tree
		if want != nil && (len(want) == 0 || !strings.HasPrefix(want[0], ". ")) {
			want = append([]string{". directory 0755 0:0"}, want...)
		}
		if err != nil || want != nil && !slices.Equal(got, want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.Name, err, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestPackagesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	good := tartest.Archive(tartest.Dir("./"), tartest.File("./f", "x"))
	data := debtest.Member{Name: "data.tar", Body: good}
	control := debtest.Control(debtest.Text)
	archive := func(members ...debtest.Member) []byte {
		return debtest.Archive(append([]debtest.Member{debtest.Version()}, members...)...)
	}
	whole := archive(control, data)
	big := slices.Clone(whole)
	copy(big[8+48:], "9999999999")
	negative := slices.Clone(whole)
	copy(negative[8+48:], "-1        ")
	noHeader := slices.Clone(whole)
	noHeader[8+58] = 'x'
	text := func(old, new string) []byte {
		return archive(debtest.Control(strings.Replace(debtest.Text, old, new, 1)), data)
	}
	member := func(name, body string) []byte { return archive(debtest.Control(debtest.Text, name, body), data) }
	raw := func(parts ...tartest.Part) []byte {
		return archive(debtest.Member{Name: "control.tar", Body: tartest.Archive(parts...)}, data)
	}
	for name, c := range map[string]struct {
		file []byte
		rule string
	}{
		"empty":                        {nil, "not a .deb file"},
		"not ar":                       {[]byte(strings.Repeat("no ", 100)), "not a .deb file"},
		"no members":                   {[]byte("!<arch>\n"), "want the members debian-binary"},
		"no data":                      {archive(control), "want the members debian-binary"},
		"no control":                   {archive(data), "want control.tar here"},
		"data, then control":           {archive(data, control), "want control.tar here"},
		"two controls":                 {archive(control, control, data), "want data.tar here"},
		"two data":                     {archive(control, data, data), "behind data.tar"},
		"no version":                   {debtest.Archive(control, data), "want debian-binary"},
		"format 3":                     {debtest.Archive(debtest.Member{Name: "debian-binary", Body: []byte("3.0\n")}, control, data), "want 2.0"},
		"format x":                     {debtest.Archive(debtest.Member{Name: "debian-binary", Body: []byte("2.x\n")}, control, data), "want 2.0"},
		"size beyond the end":          {big, "unexpected EOF"},
		"negative size":                {negative, "want a decimal number"},
		"no header":                    {noHeader, "want an ar header"},
		"name with a slash":            {archive(control, debtest.Member{Name: "a/../data.tar", Body: good}), "without slashes"},
		"bzip2 data":                   {archive(control, debtest.Member{Name: "data.tar.bz2", Body: good}), ".gz, .xz or .zst"},
		"xz that is plain":             {archive(control, debtest.Member{Name: "data.tar.xz", Body: good}), "is plain: want xz"},
		"plain that is gzip":           {archive(control, debtest.Member{Name: "data.tar", Body: tool(t, good, "gzip", "-c")}), "is gzip: want plain"},
		"control is no tar":            {archive(debtest.Member{Name: "control.tar", Body: make([]byte, 3)}, data), "control.tar: "},
		"empty control":                {archive(debtest.Member{Name: "control.tar", Body: tartest.Archive()}, data), "no control file"},
		"control that is no stanza":    {archive(debtest.Control("what\n"), data), "want a field's name"},
		"control of two stanzas":       {archive(debtest.Control(debtest.Text+"\n"+debtest.Text), data), "a second stanza"},
		"a field twice":                {archive(debtest.Control(debtest.Text+"version: 2\n"), data), "appears twice"},
		"name with a path":             {text("Package: hostile", "Package: ../../etc"), "package name"},
		"no version field":             {text("Version: 1\n", ""), "version"},
		"version with a path":          {text("Version: 1", "Version: 1/2"), "version"},
		"no architecture":              {text("Architecture: amd64\n", ""), "architecture"},
		"bad relation":                 {text("Maintainer", "Depends: a (1)\nMaintainer"), "Depends"},
		"alternatives in Conflicts":    {text("Maintainer", "Conflicts: a | b\nMaintainer"), "no alternatives"},
		"range in Provides":            {text("Maintainer", "Provides: a (>= 1)\nMaintainer"), "want = or no version"},
		"control member out":           {raw(tartest.File("../postinst", "x")), "want letters"},
		"control member below":         {raw(tartest.File("./a/postinst", "x")), "want letters"},
		"control member list":          {member("list", "/etc/shadow\n"), "not list"},
		"control member twice":         {member("control", debtest.Text), "twice"},
		"control member is a link":     {raw(tartest.Symlink("./control", "/etc/passwd")), "want files only"},
		"control member is a device":   {raw(tartest.Raw(tartest.Fields{Name: "control", Type: '3'})), "want files only"},
		"relative conffile":            {member("conffiles", "etc/x\n"), "absolute path"},
		"conffile that climbs":         {member("conffiles", "/etc/../x\n"), "absolute path"},
		"control that expands":         {archive(debtest.Member{Name: "control.tar.gz", Body: tool(t, tartest.Archive(tartest.File("control", strings.Repeat("x", 6<<20))), "gzip", "-c")}, data), "200-fold"},
		"control of 17 MiB":            {raw(tartest.File("control", debtest.Text), tartest.File("md5sums", strings.Repeat("x", 17<<20))), "more than 16777216 bytes"},
		"data that expands":            {archive(control, debtest.Member{Name: "data.tar.xz", Body: tool(t, tartest.Archive(tartest.File("f", strings.Repeat("\x00", 6<<20))), "xz", "-c")}), "200-fold"},
		"a sparse file that is a bomb": {archive(control, debtest.Member{Name: "data.tar", Body: tartest.Archive(tartest.PAX("s", "ab", "GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.name", "s", "GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,2", "GNU.sparse.size", fmt.Sprint(1<<40)))}), "sparse file"},
	} {
		if lines, err := laid(t, write(t, c.file)); err == nil || !strings.Contains(err.Error(), c.rule) {
			t.Errorf("%s: error %v: want %q in it; tree %q", name, err, c.rule, lines)
		}
	}
	for cut := range len(whole) {
		if cut%97 != 0 && cut != len(whole)-1 {
			continue
		}
		if _, err := laid(t, write(t, whole[:cut])); err == nil {
			t.Errorf("cut after %d of %d bytes, it is accepted", cut, len(whole))
		}
	}
	if _, err := laid(t, write(t, archive(debtest.Member{Name: "_signature", Body: []byte("x")}, control, data, debtest.Member{Name: "more", Body: nil}))); err == nil {
		t.Error("a member behind data.tar is accepted")
	}
	if _, err := laid(t, write(t, archive(debtest.Member{Name: "_signature", Body: []byte("x")}, control, data))); err != nil {
		t.Errorf("a member that does not count is refused: %v", err)
	}
	if _, err := deb.Read(t.Context(), newStore(t), t.TempDir(), "s"); err == nil || !strings.Contains(err.Error(), "want a regular file") {
		t.Errorf("a folder: error %v", err)
	}
}

const sample = `Package: sample
Version: 1:2.0-1
Architecture: amd64
Source: sampler (2.0-1)
Maintainer: T <t@example.org>
Pre-Depends: first (>= 1)
Depends: a (>= 1) | b:any, c
Recommends: r
Provides: virtual, versioned (= 3)
Conflicts: enemy
Breaks: old (<< 2)
Essential: yes
Description: short
 long
`

func sampleFiles() map[string]string {
	return map[string]string{
		"DEBIAN/conffiles": "/etc/sample.conf\n", "DEBIAN/postinst": "#!/bin/sh -e\nexit 0\n", "DEBIAN/preinst": "#! /usr/bin/perl\n",
		"DEBIAN/triggers": "interest-noawait /usr/share/x\nactivate-noawait ldconfig\n", "DEBIAN/shlibs": "libx 1 sample\n",
		"etc/sample.conf": "conf", "usr/bin/sample": "#!/bin/sh\n", "usr/bin/alias": "-> sample", "usr/share/doc/sample/copyright": "free",
	}
}

func TestAPackageOfDpkgDebIsReadWhole(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, compression := range []string{"none", "gzip", "xz", "zstd"} {
		path := debtest.Build(t, folder, compression, sample, sampleFiles(), "--root-owner-group", "-Z"+compression)
		p, err := deb.Read(t.Context(), newStore(t), path, "deb packages")
		if err != nil {
			t.Fatal(err)
		}
		if p.Format != packages.Deb || p.Name != "sample" || p.Version != "1:2.0-1" || p.Arch != "amd64" || p.Source != "sampler (2.0-1)" {
			t.Errorf("%s: %+v", compression, p.About)
		}
		if fmt.Sprint(p.Requires) != "[{first >= 1 0 []} { 2 [{a >= 1 0 []} {b 0 []}]} {c 0 []}]" || fmt.Sprint(p.Provides) != "[sample = 1:2.0-1 virtual versioned = 3]" {
			t.Errorf("%s: requires %v, provides %v", compression, p.Requires, p.Provides)
		}
		if !slices.Equal(p.Config, []string{"etc/sample.conf"}) {
			t.Errorf("%s: configuration %q", compression, p.Config)
		}
		var scripts []string
		for _, s := range p.Scripts {
			scripts = append(scripts, s.When+" "+s.Interpreter)
		}
		if !slices.Equal(scripts, []string{"preinst /usr/bin/perl", "postinst /bin/sh", "triggers <triggers>"}) {
			t.Errorf("%s: scripts %q", compression, scripts)
		}
		// dpkg-deb --contents ends its lines with the path.
		var want []string
		for line := range strings.Lines(string(tool(t, nil, "dpkg-deb", "--contents", path))) {
			name := strings.Fields(line)[5]
			want = append(want, strings.TrimRight(strings.TrimPrefix(name, "."), "/"))
		}
		want[0] = "/."
		if got := strings.Fields(string(p.Record["list"])); !slices.Equal(got, want) {
			t.Errorf("%s: files %q: want %q", compression, got, want)
		}
		if len(p.Entries) != len(want)-1 {
			t.Errorf("%s: %d entries: want all but the root", compression, len(p.Entries))
		}
	}
}

func TestAFileDescribesItselfAsItsIndexDoes(t *testing.T) {
	t.Parallel()
	path := debtest.Build(t, t.TempDir(), "sample", sample, sampleFiles())
	p, err := deb.Describe(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	sum := strings.Fields(string(tool(t, nil, "sha256sum", path)))[0]
	info, err := os.Stat(path)
	if err != nil || p.URL != path || p.Size != info.Size() || string(p.Checksum) != "sha256:"+sum || !p.Essential {
		t.Errorf("%+v, %v", p, err)
	}
	if fmt.Sprint(p.Conflicts) != "[{enemy 0 []} {old < 2 0 []}]" || fmt.Sprint(p.Recommends) != "[{r 0 []}]" {
		t.Errorf("conflicts %v, recommends %v", p.Conflicts, p.Recommends)
	}
	if _, err := deb.Describe(t.Context(), write(t, []byte("x"))); err == nil || !strings.Contains(err.Error(), "hostile.deb: not a .deb file") {
		t.Errorf("error %v", err)
	}
}

func TestAPackageThatIsNotTheLockedOneIsRefused(t *testing.T) {
	about := packages.About{Name: "a", Version: "1", Arch: "amd64"}
	want := manifests.LockedPackage{Name: "a", Version: "1", Arch: "amd64"}
	if err := deb.Check(&about, want); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*packages.About){
		"name":         func(a *packages.About) { a.Name = "b" },
		"version":      func(a *packages.About) { a.Version = "2" },
		"architecture": func(a *packages.About) { a.Arch = "arm64" },
	} {
		changed := about
		change(&changed)
		if err := deb.Check(&changed, want); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("another %s: error %v", what, err)
		}
	}
}

func TestPackagesAreReadAtOnce(t *testing.T) {
	t.Parallel()
	folder, store := t.TempDir(), newStore(t)
	done := make(chan error)
	for i := range 8 {
		path := debtest.Build(t, folder, fmt.Sprint("p", i), sample, map[string]string{"f": strings.Repeat(fmt.Sprint(i), 100_000)})
		go func() {
			p, err := deb.Read(context.Background(), store, path, "s")
			into := tree.New()
			if err == nil {
				err = into.Apply(p.Entries[0])
			}
			data, readErr := into.ReadFile("f", 1<<20)
			if err == nil && (readErr != nil || string(data) != strings.Repeat(fmt.Sprint(i), 100_000)) {
				err = fmt.Errorf("package %d has the content of another: %v", i, readErr)
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(debtest.Package(tartest.Archive(tartest.Dir("./"), tartest.File("./f", "x"))))
	f.Add(debtest.Archive(debtest.Version(), debtest.Control(sample, "conffiles", "/etc/x\n", "postinst", "#!/bin/sh\n", "triggers", "interest /x\ninterest y\n"),
		debtest.Member{Name: "data.tar", Body: tartest.Archive(tartest.File("etc/x", "1"), tartest.Hardlink("etc/y", "etc/x"))}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, fmt.Sprint(os.Getpid())+".deb")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		store, err := content.NewBounded(dir, content.Limits{Spool: 8 << 20, Expanded: 8 << 20, Ratio: 100, Free: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		p, err := deb.Read(t.Context(), store, path, "fuzz")
		if err != nil {
			return
		}
		for _, e := range p.Entries {
			if clean, err := tree.Clean(e.Path); err != nil || clean != e.Path {
				t.Errorf("path %q: %v", e.Path, err)
			}
		}
		into := tree.New()
		if err := deb.WriteDatabase(into, []packages.Payload{p}); err != nil {
			return
		}
		outside := 0
		if err := into.Walk(func(path string, n *tree.Node) error {
			if n.Kind == tree.File && !strings.HasPrefix(path, "usr/lib/sysimage/dpkg/") {
				outside++
			}
			return nil
		}); err != nil || outside > 0 {
			t.Errorf("%d files outside the database, %v", outside, err)
		}
	})
}
