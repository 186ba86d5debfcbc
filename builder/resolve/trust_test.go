package resolve_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/builder/resolve/resolvetest"
	"github.com/proa-os/proa/manifests"
)

// otherRPM is a second repository, whose index nobody has signed.
func (s *setup) otherRPM(packages ...resolvetest.Package) {
	s.t.Helper()
	folder := filepath.Join(s.Dir, "other")
	for _, p := range packages {
		s.RPMFile(s.t, folder, p)
	}
	if out, err := exec.Command("createrepo_c", "--quiet", folder).CombinedOutput(); err != nil {
		s.t.Fatalf("createrepo_c: %v\n%s", err, out)
	}
}

// bothRPM is a source of the two, of which the second counts less although it
// comes first.
func (s *setup) bothRPM(packages string) string {
	return fmt.Sprintf("  - rpm: {repositories: [{url: %s/other, gpgkey: [%s], unsignedMetadata: true}, {url: %s/rpm, gpgkey: [%s], priority: 10}], packages: [%s]}\n",
		s.URL, s.Stranger, s.URL, s.Key, packages)
}

func TestAnotherFileOfTheLockedVersionIsNotTheLockedPackage(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.AddRPM(t, resolvetest.Package{Name: "gear", Version: "1"}, resolvetest.Package{Name: "spare", Version: "1"})
	s.otherRPM(resolvetest.Package{Name: "gear", Version: "1", Files: map[string]string{"usr/bin/surprise": "x"}})
	s.config.Previous = s.mustLock(s.bothRPM("gear, spare"))
	before := s.config.Previous.Inputs[0].Packages[0]
	if before.URL != s.URL+"/rpm/Packages/gear-1-1.noarch.rpm" || before.Repository != s.URL+"/rpm" {
		t.Fatalf("locked at first: %+v", before)
	}
	s.AddRPM(t, resolvetest.Package{Name: "spare", Version: "2"}, resolvetest.Package{Name: "gear", Version: "2"})
	next := s.mustLock(s.bothRPM("gear, spare"), "spare")
	if got := next.Inputs[0].Packages[0]; got != before || versions(next) != "gear 1-1, spare 2-1" {
		t.Errorf("gear becomes %+v: want %+v; all are %s", got, before, versions(next))
	}
}

func TestALockedPackageStaysWhereItHasAnotherChecksum(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.AddRPM(t, resolvetest.Package{Name: "gear", Version: "1"}, resolvetest.Package{Name: "spare", Version: "1"})
	s.IndexRPM(t, "--checksum", "sha512")
	s.config.Previous = s.mustLock(s.rpm("gear", "spare"))
	s.AddRPM(t, resolvetest.Package{Name: "spare", Version: "2"}, resolvetest.Package{Name: "gear", Version: "2"})
	s.IndexRPM(t, "--checksum", "sha512")
	if got := versions(s.mustLock(s.rpm("gear", "spare"), "spare")); got != "gear 1-1, spare 2-1" {
		t.Errorf("an update of spare brings %s", got)
	}
}

func TestTheLockSaysWhichRepositoryAPackageIsFrom(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.AddDeb(t, resolvetest.Package{Name: "tool", Version: "1"})
	s.DebFile(t, s.config.Folder, resolvetest.Package{Name: "own", Version: "1"})
	found := s.mustLock(s.deb("tool", "./own_1.deb")).Inputs[0].Packages
	if len(found) != 2 || found[0].Repository != "" || !found[0].Named || found[1].Repository != s.URL+"/debian" {
		t.Errorf("%+v", found)
	}
}

func TestAnOlderRepositoryIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.AddDeb(t, resolvetest.Package{Name: "tool", Version: "1"})
	s.AddRPM(t, resolvetest.Package{Name: "gear", Version: "1"})
	document, err := os.ReadFile(filepath.Join(s.Dir, "debian/dists/stable/InRelease"))
	if err != nil {
		t.Fatal(err)
	}
	_, release, _ := strings.Cut(string(document), "\n\n")
	release, _, _ = strings.Cut(release, "-----BEGIN")
	date := release[strings.Index(release, "Date: "):]
	date, _, _ = strings.Cut(date, "\n")
	made := func(days int) {
		text := time.Date(2024, 5, days, 1, 2, 3, 0, time.UTC).Format("Mon, 02 Jan 2006 15:04:05 UTC")
		s.SignDeb(t, "world", strings.Replace(release, date, "Date: "+text, 1))
	}
	revision := func(text string) { s.IndexRPM(t, "--revision", text) }
	for _, test := range []struct {
		name          string
		sources       string
		before, after func()
		was, is       string // empty: accepted
	}{
		{"an older archive", s.deb("tool"), func() { made(20) }, func() { made(19) }, "2024-05-20T01:02:03Z", "2024-05-19T01:02:03Z"},
		{"the same archive", s.deb("tool"), func() { made(20) }, func() { made(20) }, "", ""},
		{"a newer archive", s.deb("tool"), func() { made(20) }, func() { made(21) }, "", ""},
		{"an older repository", s.rpm("gear"), func() { revision("1700000000") }, func() { revision("1600000000") },
			"revision 1700000000 (2023-11-14T22:13:20Z)", "revision 1600000000 (2020-09-13T12:26:40Z)"},
		{"a lower number of more digits", s.rpm("gear"), func() { revision("9") }, func() { revision("10") }, "", ""},
		{"a higher number of fewer digits", s.rpm("gear"), func() { revision("10") }, func() { revision("9") }, "revision 10", "revision 9"},
		{"a repository without numbers", s.rpm("gear"), func() { revision("b") }, func() { revision("a") }, "", ""},
	} {
		s.config.Previous = manifests.Lock{}
		test.before()
		s.config.Fetcher = fetcher(t)
		s.config.Previous = s.mustLock(test.sources)
		test.after()
		s.config.Fetcher = fetcher(t)
		s.config.Recipe, s.config.Update = recipe(t, test.sources), resolve.Update{All: true}
		_, err := resolve.Lock(t.Context(), s.config)
		var older *resolve.OlderError
		if errors.As(err, &older) != (test.was != "") {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if older == nil {
			continue
		}
		if older.Was != test.was || older.Is != test.is || !strings.Contains(err.Error(), test.was) || !strings.Contains(err.Error(), test.is) {
			t.Errorf("%s: %v: want the dates %s and %s", test.name, err, test.was, test.is)
		}
		s.config.AllowOlder = true
		if _, err := resolve.Lock(t.Context(), s.config); err != nil {
			t.Errorf("%s, which is allowed: %v", test.name, err)
		}
		s.config.AllowOlder = false
	}
}

func TestAnErrorTellsOfModuleStreams(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.AddRPM(t, resolvetest.Package{Name: "gear", Version: "1"})
	if _, err := s.lock(s.rpm("perl")); err == nil || strings.Contains(err.Error(), "module") {
		t.Errorf("without module streams: %v", err)
	}
	s.RPMOf(t, filepath.Join(s.Dir, resolvetest.RPMPool), "Name: perl\nVersion: 5\nRelease: 1.module+el8+1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\nx\n%files\n")
	s.IndexRPM(t)
	if _, err := s.lock(s.rpm("perl")); err == nil || !strings.Contains(err.Error(), "packages of module streams were left out: 1") {
		t.Errorf("with a module stream: %v", err)
	}
	s.mustLock(s.rpm("gear"))
}
