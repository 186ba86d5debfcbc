package deb_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/packagestest"
	"github.com/proa-os/proa/manifests"
)

func TestARepositoryOfAptIsLoaded(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	suites, found, err := a.load(a.config())
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(filepath.Join(a.dir, suite, "InRelease"))
	if err != nil {
		t.Fatal(err)
	}
	_, date, _ := strings.Cut(a.release, "Date: ")
	date, _, _ = strings.Cut(date, "\n")
	want := manifests.LockedRepository{URL: "http://repo.test/debian/", Suite: "noble-test", Revision: date, Digest: manifests.DigestOf(document)}
	if len(suites) != 1 || suites[0] != want {
		t.Errorf("%+v: want %+v", suites, want)
	}
	names := map[string]packages.Package{}
	for _, p := range found {
		names[p.Name] = p
	}
	if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, []string{"any", "first", "sample"}) {
		t.Fatalf("packages %q", got)
	}
	p := names["sample"]
	if p.Repository != 3 || !p.Essential || p.URL != "http://repo.test/debian/pool/main/sample_2%253a+~.deb" || names["any"].Arch != "all" {
		t.Errorf("%+v", p)
	}
	// What the index says of a package is what the package says of itself.
	fetcher := packagestest.FolderFetcher{URL: "http://repo.test/debian", Dir: a.dir}
	path, _, err := fetcher.File(t.Context(), p.URL, p.Size, p.Checksum)
	if err != nil {
		t.Fatal(err)
	}
	own, err := deb.Describe(t.Context(), path, manifests.AMD64)
	own.URL, own.Repository = p.URL, p.Repository
	if err != nil || fmt.Sprintf("%#v", own) != fmt.Sprintf("%#v", p) {
		t.Errorf("the file says %+v, %v\nthe index says %+v", own, err, p)
	}
	wanted, err := deb.Wanted(found, []string{"first (= 1)", "any:amd64", "x | y"}, nil)
	if err != nil || fmt.Sprint(wanted) != "[{sample 0 []} {first = 1 0 []} {any 0 []} { 2 [{x 0 []} {y 0 []}]}]" {
		t.Errorf("wanted %v, %v", wanted, err)
	}
	if wanted, err = deb.Wanted(found, []string{"first"}, []string{"sample"}); err != nil || fmt.Sprint(wanted) != "[{first 0 []}]" {
		t.Errorf("wanted %v, %v: want first without the excluded one", wanted, err)
	}
	for _, item := range []string{"first:i386", "a, b", "", "a (1)", "a [i386]"} {
		if wanted, err := deb.Wanted(found, []string{item}, nil); err == nil {
			t.Errorf("%q is accepted: %v", item, wanted)
		}
	}
}

func TestARepositoryThatCannotBeTrustedIsRefused(t *testing.T) {
	t.Parallel()
	a := newArchive(t, "ValidTime=86400")
	if _, _, err := a.load(a.config()); err != nil {
		t.Fatal(err)
	}
	signed := string(a.gpg(a.release, "--local-user", "archive@example.org", "--clear-sign"))
	replaced := func(old, new string) string {
		if !strings.Contains(a.release, old) {
			t.Errorf("%q is not in the release", old)
		}
		return strings.Replace(a.release, old, new, 1)
	}
	resigned := func(text string) string {
		return string(a.gpg(text, "--local-user", "archive@example.org", "--clear-sign"))
	}
	for name, c := range map[string]struct {
		document string
		change   func(*deb.Config)
		rule     string
	}{
		"unsigned":             {document: a.release, rule: "InRelease: "},
		"empty":                {document: "", rule: "InRelease: "},
		"signed by a stranger": {document: string(a.gpg(a.release, "--local-user", "stranger@example.org", "--clear-sign")), rule: "InRelease: "},
		"changed afterwards":   {document: strings.Replace(signed, "main/binary-amd64", "evil/binary-amd64", 1), rule: "InRelease: "},
		"text before it":       {document: "Suite: noble-test\n" + signed, rule: "InRelease: "},
		"no keys":              {document: signed, change: func(c *deb.Config) { c.Keys = nil }, rule: "no keys"},
		"expired":              {document: signed, change: func(c *deb.Config) { c.Now = c.Now.Add(25 * time.Hour) }, rule: "expired: it was valid until"},
		"from the future":      {document: resigned(replaced("Date: ", "Date: Mon, 1 Jan 2390 00:00:00 UTC\nX-Date: ")), rule: "in the future"},
		"no date":              {document: resigned(replaced("Date: ", "X-Date: ")), rule: "field Date"},
		"a local date":         {document: resigned(replaced("Date: ", "Date: Mon, 1 Jan 2024 00:00:00 CEST\nX-Date: ")), rule: "field Date"},
		"odd Valid-Until":      {document: resigned(replaced("Valid-Until: ", "Valid-Until: never\nX-Until: ")), rule: "field Valid-Until"},
		"another suite":        {document: resigned(strings.ReplaceAll(replaced("stable-test", "a"), "noble-test", "b")), rule: `suite "a", codename "b": want "noble-test"`},
		"another component":    {document: signed, change: func(c *deb.Config) { c.Repository.Components = []string{"contrib"} }, rule: `no component "contrib"`},
		"another architecture": {document: signed, change: func(c *deb.Config) { c.Arch = manifests.ARM64 }, rule: "no packages for arm64"},
		"no digests":           {document: resigned(strings.ReplaceAll(a.release, "SHA256", "SHA224")), rule: "no SHA256"},
		"odd digests":          {document: resigned(strings.ReplaceAll(a.release, "SHA256:\n", "SHA256:\n x 1 y\n")), rule: "want 64 hex digits"},
		"a huge index":         {document: resigned(strings.ReplaceAll(a.release, "SHA256:\n", "SHA256:\n "+strings.Repeat("0", 64)+" 9999999999 main/binary-amd64/Packages.zst\n")), rule: "want at most"},
		"no stanza":            {document: resigned("what\n"), rule: "want a field's name"},
	} {
		a.put(c.document)
		config := a.config()
		if c.change != nil {
			c.change(&config)
		}
		if _, found, err := a.load(config); err == nil || !strings.Contains(err.Error(), c.rule) || !strings.Contains(err.Error(), "noble-test") {
			t.Errorf("%s: %d packages, error %v: want %q in it", name, len(found), err, c.rule)
		}
	}
	if err := os.Remove(filepath.Join(a.dir, suite, "InRelease")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.load(a.config()); err == nil || !strings.Contains(err.Error(), "InRelease") {
		t.Errorf("no InRelease: error %v", err)
	}
}

func TestAnIndexThatLiesIsRefused(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	good := a.scan()
	for name, c := range map[string]struct{ old, new, rule string }{
		"file outside":         {"Filename: pool/main/", "Filename: ../../", "below the repository"},
		"absolute file":        {"Filename: pool/", "Filename: /pool/", "below the repository"},
		"climbing file":        {"Filename: pool/main/", "Filename: pool/x/../", "below the repository"},
		"no file":              {"Filename:", "X-Filename:", "below the repository"},
		"no digest":            {"SHA256:", "X-SHA256:", "want 64 hex digits"},
		"no size":              {"\nSize:", "\nX-Size:", "want a number above 0"},
		"size 0":               {"\nSize: ", "\nSize: 0\nX-Size:", "want a number above 0"},
		"negative size":        {"\nSize: ", "\nSize: -", "want a number above 0"},
		"another architecture": {"Architecture: amd64", "Architecture: i386", "want amd64 or all"},
		"name with a path":     {"Package: sample", "Package: ../sample", "package name"},
		"no version":           {"Version: 1:2.0-1\n", "", "version"},
		"odd relation":         {"Depends: a (>= 1)", "Depends: a (=> 1)", "field Depends"},
		"no stanza":            {"Package: sample", "Package sample", "want a field's name"},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: %q is not in the index", name, c.old)
		}
		a.index("amd64", strings.Replace(good, c.old, c.new, 1))
		a.resign()
		if _, _, err := a.load(a.config()); err == nil || !strings.Contains(err.Error(), c.rule) || !strings.Contains(err.Error(), "main/binary-amd64/Packages.xz") {
			t.Errorf("%s: error %v: want %q in it", name, err, c.rule)
		}
	}
	a.index("amd64", good)
	a.resign()
	if _, _, err := a.load(a.config()); err != nil {
		t.Fatal(err)
	}
	// The index of another day under the release of this one.
	a.index("amd64", good+"\n"+strings.Replace(good, "Package: sample", "Package: evil", 1))
	if _, _, err := a.load(a.config()); err == nil || !strings.Contains(err.Error(), "Packages.xz") {
		t.Errorf("an index with another digest: error %v", err)
	}
	// More than the release says it expands to.
	a.resign()
	text := a.releaseText()
	plain := strings.Index(text[strings.Index(text, "SHA256:"):], " main/binary-amd64/Packages\n") + strings.Index(text, "SHA256:")
	start := strings.LastIndex(text[:plain], " ")
	a.sign("archive@example.org", text[:start]+" 10"+text[plain:])
	if _, _, err := a.load(a.config()); err == nil || !strings.Contains(err.Error(), "expands to more than 10 bytes") {
		t.Errorf("an index that is longer than listed: error %v", err)
	}
}

// counting notes what it is asked for.
type counting struct {
	packages.Fetcher
	asked *[]string
}

func (c counting) File(ctx context.Context, url string, size int64, want packages.Checksum) (string, manifests.Digest, error) {
	*c.asked = append(*c.asked, strings.TrimPrefix(url, "http://repo.test/debian/"+suite+"/"))
	return c.Fetcher.File(ctx, url, size, want)
}

func TestIndexesAreFetchedAsTheReleaseOffersThem(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	load := func() []string {
		t.Helper()
		var asked []string
		_, found, err := deb.Load(t.Context(), counting{packagestest.FolderFetcher{URL: "http://repo.test/debian", Dir: a.dir}, &asked}, a.config())
		if err != nil || len(found) != 3 {
			t.Fatalf("%d packages, %v; asked for %q", len(found), err, asked)
		}
		return asked
	}
	if got := load(); !slices.Equal(got, []string{"main/binary-amd64/Packages.xz"}) {
		t.Errorf("asked for %q", got)
	}
	a.index("amd64", a.scan(), "zstd")
	a.resign()
	if got := load(); !slices.Equal(got, []string{"main/binary-amd64/Packages.zst"}) {
		t.Errorf("asked for %q", got)
	}
	// By hash, and by name where the mirror does not have that.
	packed, err := os.ReadFile(filepath.Join(a.dir, suite, "main/binary-amd64/Packages.zst"))
	if err != nil {
		t.Fatal(err)
	}
	byHash := "main/binary-amd64/by-hash/SHA256/" + manifests.DigestOf(packed).Hex()
	a.sign("archive@example.org", a.releaseText("Acquire-By-Hash=yes"))
	if got := load(); !slices.Equal(got, []string{byHash, "main/binary-amd64/Packages.zst"}) {
		t.Errorf("asked for %q", got)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(a.dir, suite, byHash)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, suite, byHash), packed, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := load(); !slices.Equal(got, []string{byHash}) {
		t.Errorf("asked for %q", got)
	}
	// An index for all architectures counts where the release says so.
	a.index("all", a.scan())
	a.sign("archive@example.org", a.releaseText("Architectures=amd64 all"))
	if got := load(); !slices.Equal(got, []string{"main/binary-amd64/Packages.zst", "main/binary-all/Packages.xz"}) {
		t.Errorf("asked for %q", got)
	}
	a.sign("archive@example.org", "No-Support-for-Architecture-all: Packages\n"+a.releaseText("Architectures=amd64 all"))
	if got := load(); !slices.Equal(got, []string{"main/binary-amd64/Packages.zst"}) {
		t.Errorf("asked for %q", got)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nArchitecture: amd64\nFilename: pool/a.deb\nSize: 1\nSHA256: " + strings.Repeat("0", 64) + "\nDepends: b | c (>= 2)\n\nPackage: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := deb.ParseIndex(t.Context(), []byte(text), t.TempDir())
		if err != nil {
			return
		}
		for _, p := range found {
			if !strings.HasPrefix(p.URL, "http://repo.test/") || strings.Contains(p.URL, "/../") || p.Size <= 0 || len(p.Provides) == 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}

func FuzzRelease(f *testing.F) {
	f.Add("Suite: a\nCodename: b\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nArchitectures: amd64 all\nComponents: updates/main\nSHA256:\n " + strings.Repeat("0", 64) + " 5 main/binary-amd64/Packages.xz\n")
	f.Fuzz(func(_ *testing.T, text string) { deb.ParseRelease([]byte(text), time.Unix(1, 0)) })
}
