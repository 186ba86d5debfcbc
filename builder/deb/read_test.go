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
	p, err := deb.Describe(t.Context(), path, manifests.AMD64)
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
	if _, err := deb.Describe(t.Context(), write(t, []byte("x")), manifests.AMD64); err == nil || !strings.Contains(err.Error(), "hostile.deb: not a .deb file") {
		t.Errorf("error %v", err)
	}
}

func TestRelationsOfAFileAreThoseOfTheArchitectureItIsLockedFor(t *testing.T) {
	t.Parallel()
	text := "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: x\nDepends: b:amd64, c:arm64\n"
	path := debtest.Build(t, t.TempDir(), "a", text, map[string]string{"usr/share/a": "a"})
	for arch, want := range map[manifests.Arch]string{manifests.AMD64: "[{b 0 []} {c:arm64 0 []}]", manifests.ARM64: "[{b:amd64 0 []} {c 0 []}]"} {
		p, err := deb.Describe(t.Context(), path, arch)
		if err != nil || fmt.Sprint(p.Requires) != want {
			t.Errorf("for %s: %v, %v: want %s", arch, p.Requires, err, want)
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
