package repomd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/packagestest"
	"github.com/proa-os/proa/builder/rpm/repomd"
	"github.com/proa-os/proa/manifests"
)

func TestLoadReadsWhatCreaterepoWrites(t *testing.T) {
	t.Parallel()
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
		texts = append(texts, packages.RPM.Text(r))
	}
	return texts
}

func TestZstdLists(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := repomd.Load(ctx, r.fetcher(), r.config()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want context.Canceled", err)
	}
}

func TestTwiceTheSameRepositoryIsTheSame(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	first, err := r.load()
	second, err2 := r.load()
	if err != nil || err2 != nil || !reflect.DeepEqual(first.Packages, second.Packages) || first.Locked != second.Locked {
		t.Errorf("%v and %v, %v, %v", first.Packages, second.Packages, err, err2)
	}
}
