package repomd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/packagestest"
	"github.com/proa-os/proa/builder/rpm/repomd"
	"github.com/proa-os/proa/builder/rpm/richdeps"
	"github.com/proa-os/proa/manifests"
)

const spec = `
Name: tool
Epoch: 2
Version: 1.0~rc1
Release: 3
Summary: A tool
License: MIT
Requires: lib >= 1.5
Requires: (editor if desktop else pager)
Requires: /usr/share/data/table
Requires: /usr/bin/helper
Conflicts: oldtool < 1
Obsoletes: ancient <= 0.9
Recommends: extras
Supplements: (desktop and lib)
Provides: virtual(tool) = 7
%description
A tool & more.
%package -n lib
Summary: Its library
BuildArch: noarch
%description -n lib
-
%package -n m+x
Summary: A name to escape
BuildArch: noarch
%description -n m+x
-
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/share/data
touch %{buildroot}/usr/bin/tool %{buildroot}/usr/bin/helper "%{buildroot}/usr/share/data/a & b" %{buildroot}/usr/share/data/table
%files
/usr/bin/tool
%files -n lib
/usr/bin/helper
/usr/share/data
%files -n m+x
`

// built makes packages and keys once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "repomd")
	if err != nil {
		return "", err
	}
	home := filepath.Join(dir, "gnupg")
	err = errors.Join(os.WriteFile(filepath.Join(dir, "tool.spec"), []byte(spec), 0o600), os.Mkdir(home, 0o700))
	for _, args := range [][]string{
		{"rpmbuild", "-bb", "--quiet", "--target", "x86_64", "--define", "_topdir " + dir + "/top", "--define", "_rpmdir " + dir + "/repo/Packages",
			"--define", "_build_id_links none", dir + "/tool.spec"},
		gpg(home, "--quick-generate-key", "trusted", "ed25519", "sign", "never"),
		{"createrepo_c", "--quiet", dir + "/repo"},
		gpg(home, "--local-user", "trusted", "--armor", "--detach-sign", dir+"/repo/repodata/repomd.xml"),
		gpg(home, "--quick-generate-key", "other", "ed25519", "sign", "never"),
		gpg(home, "--faked-system-time", "20200101T000000!", "--quick-generate-key", "old", "ed25519", "sign", "1y"),
	} {
		if err == nil {
			var out []byte
			if out, err = exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				err = fmt.Errorf("%v: %w\n%s", args, err, out)
			}
		}
	}
	return dir, err
})

func gpg(home string, args ...string) []string {
	return append([]string{"gpg", "--homedir", home, "--batch", "--quiet", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := built(); dir != "" {
		exec.Command("gpgconf", "--homedir", filepath.Join(dir, "gnupg"), "--kill", "all").Run()
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// repository is a copy that a test may change.
type repository struct {
	t    *testing.T
	dir  string // the folder that repodata is in
	home string // of GnuPG
}

const base = "http://repo.test/os"

// newRepository is signed, and made by createrepo_c as it is by default or with
// the given arguments.
func newRepository(t *testing.T, createrepo ...string) *repository {
	t.Helper()
	from, err := built()
	if err != nil {
		t.Fatal(err)
	}
	r := &repository{t: t, dir: filepath.Join(t.TempDir(), "os"), home: filepath.Join(from, "gnupg")}
	r.run("cp", "-r", from+"/repo", r.dir)
	if len(createrepo) > 0 {
		r.run("createrepo_c", append([]string{"--quiet", r.dir}, createrepo...)...)
		r.sign("trusted")
	}
	return r
}

func (r *repository) run(name string, args ...string) []byte {
	r.t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.Bytes())
	}
	return out
}

func (r *repository) path(name string) string { return filepath.Join(r.dir, name) }

func (r *repository) sign(key string, more ...string) {
	r.t.Helper()
	args := gpg(r.home, append(more, "--local-user", key, "--armor", "--detach-sign", r.path("repodata/repomd.xml"))...)
	r.run(args[0], args[1:]...)
}

// edit changes repomd.xml and signs it again.
func (r *repository) edit(old, with string) {
	r.t.Helper()
	name := r.path("repodata/repomd.xml")
	data, err := os.ReadFile(name)
	if err != nil || !bytes.Contains(data, []byte(old)) {
		r.t.Fatalf("%v: there is no %q in %s", err, old, data)
	}
	if err := os.WriteFile(name, bytes.ReplaceAll(data, []byte(old), []byte(with)), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.sign("trusted")
}

// list is the path of a list by its kind.
func (r *repository) list(kind string) string {
	r.t.Helper()
	found, err := filepath.Glob(r.path("repodata/*" + kind + ".xml*"))
	if err != nil || len(found) != 1 {
		r.t.Fatalf("%s: %v, %v", kind, found, err)
	}
	return found[0]
}

func (r *repository) config() repomd.Config {
	r.t.Helper()
	args := gpg(r.home, "--export", "trusted", "old")
	keys, err := openpgp.Parse(r.run(args[0], args[1:]...))
	if err != nil {
		r.t.Fatal(err)
	}
	return repomd.Config{URL: base, Keys: keys, Arch: manifests.AMD64, Index: 1, Priority: 10, Now: time.Now()}
}

func (r *repository) fetcher() packages.Fetcher {
	return packagestest.FolderFetcher{URL: base, Dir: r.dir}
}

func (r *repository) load(change ...func(*repomd.Config)) (repomd.Repository, error) {
	r.t.Helper()
	c := r.config()
	for _, f := range change {
		f(&c)
	}
	return repomd.Load(r.t.Context(), r.fetcher(), c)
}

func TestLoadReadsWhatCreaterepoWrites(t *testing.T) {
	for _, args := range [][]string{
		nil, {"--general-compress-type=xz"}, {"--general-compress-type=bz2"},
		{"--checksum=sha512"}, {"--simple-md-filenames"}, {"--repomd-checksum=sha512"},
	} {
		if args != nil {
			args = append(args, "--no-database")
		}
		r := newRepository(t, args...)
		got, err := r.load()
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		checkTool(t, r, got)
		data, err := os.ReadFile(r.path("repodata/repomd.xml"))
		if err != nil {
			t.Fatal(err)
		}
		_, revision, _ := strings.Cut(string(data), "<revision>")
		revision, _, _ = strings.Cut(revision, "<")
		if want := (manifests.LockedRepository{URL: base, Revision: revision, Digest: manifests.DigestOf(data)}); got.Locked != want {
			t.Errorf("%v: %+v: want %+v", args, got.Locked, want)
		}
	}
}

// checkTool compares what was read with what rpm says of the files.
func checkTool(t *testing.T, r *repository, got repomd.Repository) {
	t.Helper()
	if len(got.Packages) != 3 {
		t.Fatalf("packages %+v: want three", got.Packages)
	}
	for _, p := range got.Packages {
		path, digest, err := r.fetcher().File(t.Context(), p.URL, p.Size, p.Checksum)
		if err != nil || digest.IsZero() {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if p.Repository != 1 || p.Priority != 10 {
			t.Errorf("%+v: want repository 1, priority 10", p)
		}
		query := func(args ...string) string { return string(r.run("rpm", append([]string{"-qp", path}, args...)...)) }
		if want := query("--qf", "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH}"); p.Name+" "+p.Version+" "+p.Arch != want {
			t.Errorf("%s %s %s: rpm says %s", p.Name, p.Version, p.Arch, want)
		}
		for flag, texts := range map[string][]string{
			"--provides": relations(p.Provides), "--requires": requirements(p.Requires), "--conflicts": requirements(p.Conflicts),
			"--obsoletes": relations(p.Obsoletes), "--recommends": requirements(p.Recommends), "--supplements": requirements(p.Supplements),
		} {
			var want []string
			for line := range strings.Lines(query(flag)) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "rpmlib(") {
					want = append(want, line)
				}
			}
			slices.Sort(texts)
			slices.Sort(want)
			if !slices.Equal(texts, want) {
				t.Errorf("%s %s: %q: rpm says %q", p.Name, flag, texts, want)
			}
		}
	}
}

func relations(all []packages.Relation) (texts []string) {
	for _, r := range all {
		texts = append(texts, r.String())
	}
	return texts
}

func requirements(all []packages.Requirement) (texts []string) {
	for _, r := range all {
		texts = append(texts, richdeps.String(r))
	}
	return texts
}

func TestZstdLists(t *testing.T) {
	r := newRepository(t, "--simple-md-filenames", "--no-database")
	for _, kind := range []string{"primary", "filelists"} {
		plain := r.run("zcat", r.list(kind))
		name := filepath.Join(t.TempDir(), kind+".xml")
		if err := os.WriteFile(name, plain, 0o600); err != nil {
			t.Fatal(err)
		}
		r.run("zstd", "-q", name)
		packed, err := os.ReadFile(name + ".zst")
		if err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(r.list(kind))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Remove(r.list(kind)), os.WriteFile(r.path("repodata/"+kind+".xml.zst"), packed, 0o600)); err != nil {
			t.Fatal(err)
		}
		r.edit(manifests.DigestOf(old).Hex(), manifests.DigestOf(packed).Hex())
		r.edit(fmt.Sprintf("<size>%d<", len(old)), fmt.Sprintf("<size>%d<", len(packed)))
		r.edit(kind+".xml.gz", kind+".xml.zst")
	}
	got, err := r.load()
	if err != nil {
		t.Fatal(err)
	}
	checkTool(t, r, got)
	if err := got.AddFiles(t.Context(), []string{"/usr/share/data/table"}); err != nil {
		t.Error(err)
	}
}

func TestFilesAreLookedUpWhenAskedFor(t *testing.T) {
	r := newRepository(t)
	got, err := r.load()
	if err != nil {
		t.Fatal(err)
	}
	strange := "/usr/share/data/a & b"
	paths := repomd.Unlisted(got.Packages, []packages.Requirement{{Relation: packages.Relation{Name: strange}}, {Relation: packages.Relation{Name: "/none"}}})
	if want := []string{"/none", strange, "/usr/share/data/table"}; !slices.Equal(paths, want) {
		t.Errorf("unlisted paths %q: want %q", paths, want)
	}
	for range 2 {
		if err := got.AddFiles(t.Context(), paths); err != nil {
			t.Fatal(err)
		}
		for _, p := range got.Packages {
			want := map[string][]string{"tool": {"/usr/bin/tool"}, "lib": {"/usr/bin/helper", strange, "/usr/share/data/table"}}[p.Name]
			if !slices.Equal(p.Files, want) {
				t.Errorf("%s: files %q: want %q", p.Name, p.Files, want)
			}
		}
	}
	if err := os.Truncate(r.list("filelists"), 9); err != nil {
		t.Fatal(err)
	}
	if err := got.AddFiles(t.Context(), paths); err == nil || !strings.Contains(err.Error(), base+"/repodata/") {
		t.Errorf("cut list: %v: want an error that names it", err)
	}
}

func TestVariablesOfTheURLAreReplaced(t *testing.T) {
	r := newRepository(t)
	for location, want := range map[string]string{
		"http://repo.test/$basearch/": "http://repo.test/x86_64", "http://repo.test/$arch": "http://repo.test/x86_64",
	} {
		c := r.config()
		c.URL = location
		got, err := repomd.Load(t.Context(), packagestest.FolderFetcher{URL: want, Dir: r.dir}, c)
		if err != nil || got.Locked.URL != want || !strings.HasPrefix(got.Packages[0].URL, want+"/Packages/") {
			t.Errorf("%s: %+v, %v: want %s", location, got.Locked, err, want)
		}
	}
	if _, err := r.load(func(c *repomd.Config) { c.URL = base + "/$releasever" }); err == nil || !strings.Contains(err.Error(), "$basearch") {
		t.Errorf("error %v: want one about the variable", err)
	}
}

func TestOtherArchitecturesSeeOnlyWhatGoesWithAny(t *testing.T) {
	got, err := newRepository(t).load(func(c *repomd.Config) { c.Arch = manifests.ARM64 })
	var names []string
	for _, p := range got.Packages {
		names = append(names, p.Name)
	}
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"lib", "m+x"}) {
		t.Errorf("%q, %v: want the two noarch packages", names, err)
	}
}

func TestModularPackagesAreLeftOut(t *testing.T) {
	r := newRepository(t)
	modules := filepath.Join(t.TempDir(), "modules.yaml")
	text := "---\ndocument: modulemd\nversion: 2\ndata:\n  name: m\n  stream: \"1\"\n  artifacts:\n    rpms:\n    - tool-2:1.0~rc1-3.x86_64\n    - 'other-0:1-1.noarch'\n...\n"
	if err := os.WriteFile(modules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run("modifyrepo_c", "--mdtype=modules", modules, r.path("repodata"))
	r.sign("trusted")
	got, err := r.load()
	if err != nil || len(got.Packages) != 2 || got.Modular != 1 {
		t.Errorf("%d packages, %d modular, %v: want 2 and 1", len(got.Packages), got.Modular, err)
	}
}

func TestARepositoryThatLiesIsRefused(t *testing.T) {
	write := func(t *testing.T, name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		harm func(t *testing.T, r *repository)
		kind error  // that errors.Is finds
		text string // that the error has
	}{
		"nothing wrong":   {func(*testing.T, *repository) {}, nil, ""},
		"unsigned":        {func(t *testing.T, r *repository) { os.Remove(r.path("repodata/repomd.xml.asc")) }, openpgp.ErrUnsigned, "there is no repodata/repomd.xml.asc"},
		"empty signature": {func(t *testing.T, r *repository) { write(t, r.path("repodata/repomd.xml.asc"), nil) }, openpgp.ErrUnsigned, ""},
		"other key":       {func(t *testing.T, r *repository) { r.sign("other") }, openpgp.ErrUnknownKey, ""},
		"expired key":     {func(t *testing.T, r *repository) { r.sign("old", "--faked-system-time", "20200201T000000!") }, openpgp.ErrExpired, ""},
		"other repomd": {func(t *testing.T, r *repository) {
			data, _ := os.ReadFile(r.path("repodata/repomd.xml"))
			write(t, r.path("repodata/repomd.xml"), bytes.Replace(data, []byte("<revision>"), []byte("<revision>1"), 1))
		}, openpgp.ErrBadSignature, ""},
		"no repomd": {func(t *testing.T, r *repository) { os.Remove(r.path("repodata/repomd.xml")) }, os.ErrNotExist, "repodata/repomd.xml"},
		"primary of another time": {func(t *testing.T, r *repository) {
			data, _ := os.ReadFile(r.list("primary"))
			write(t, r.list("primary"), append(data[:len(data)-9], "123456789"...))
		}, nil, "-primary.xml.gz"},
		"primary cut":       {func(t *testing.T, r *repository) { os.Truncate(r.list("primary"), 100) }, nil, "-primary.xml.gz"},
		"no primary":        {func(t *testing.T, r *repository) { os.Remove(r.list("primary")) }, os.ErrNotExist, "-primary.xml.gz"},
		"weak checksums":    {func(t *testing.T, r *repository) { r.edit(`type="sha256"`, `type="sha"`) }, nil, "want sha256 or sha512"},
		"no primary record": {func(t *testing.T, r *repository) { r.edit(`type="primary"`, `type="secondary"`) }, nil, "names no primary"},
		"records twice":     {func(t *testing.T, r *repository) { r.edit(`type="filelists"`, `type="primary"`) }, nil, "twice"},
		"list outside":      {func(t *testing.T, r *repository) { r.edit(`href="repodata/`, `href="../repodata/`) }, nil, "below the repository"},
		"list elsewhere":    {func(t *testing.T, r *repository) { r.edit(`href="repodata/`, `href="https://evil.test/`) }, nil, "location"},
		"base elsewhere": {func(t *testing.T, r *repository) {
			r.edit(`<location href`, `<location xml:base="http://evil.test/" href`)
		}, nil, "xml:base"},
		"other expanded size": {func(t *testing.T, r *repository) { r.edit("<open-size>", "<open-size>1") }, nil, "when expanded: want"},
		"smaller expanded":    {func(t *testing.T, r *repository) { r.edit("<open-size>", "<open-size>1</open-size><open-size>") }, nil, "twice"},
		"huge":                {func(t *testing.T, r *repository) { r.edit("<open-size>", "<open-size>100000000") }, nil, "want at most"},
		"entities": {func(t *testing.T, r *repository) {
			r.edit("<repomd ", `<!DOCTYPE repomd [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><repomd `)
		}, nil, "declaration"},
		"not XML": {func(t *testing.T, r *repository) {
			write(t, r.path("repodata/repomd.xml"), []byte("<html>"))
			r.sign("trusted")
		}, nil, "want a repomd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			c.harm(t, r)
			got, err := r.load()
			if name == "nothing wrong" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), base) || !strings.Contains(err.Error(), c.text) || c.kind != nil && !errors.Is(err, c.kind) || len(got.Packages) > 0 {
				t.Errorf("%d packages, %v: want an error with %s, %q and %v", len(got.Packages), err, base, c.text, c.kind)
			}
		})
	}
}

func TestUnsignedMetadataIsForThoseWhoAskForIt(t *testing.T) {
	r := newRepository(t)
	if err := os.Remove(r.path("repodata/repomd.xml.asc")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.load(func(c *repomd.Config) { c.UnsignedMetadata, c.Keys = true, nil }); err != nil {
		t.Error(err)
	}
	if _, err := r.load(func(c *repomd.Config) { c.Keys = nil }); err == nil || !strings.Contains(err.Error(), "no keys") {
		t.Errorf("no keys: %v: want an error", err)
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	r := newRepository(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := repomd.Load(ctx, r.fetcher(), r.config()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want context.Canceled", err)
	}
}

func TestTwiceTheSameRepositoryIsTheSame(t *testing.T) {
	r := newRepository(t)
	first, err := r.load()
	second, err2 := r.load()
	if err != nil || err2 != nil || !reflect.DeepEqual(first.Packages, second.Packages) || first.Locked != second.Locked {
		t.Errorf("%v and %v, %v, %v", first.Packages, second.Packages, err, err2)
	}
}
