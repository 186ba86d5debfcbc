package vulnerabilities

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const bill = `{"spdxVersion": "SPDX-2.3", "packages": [
 {"name": "edge"},
 {"name": "liblzma5", "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
  "referenceLocator": "pkg:deb/debian/liblzma5@5.4.1-0.2?arch=amd64&distro=debian-12&upstream=xz-utils"}]},
 {"name": "xz-utils", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:deb/debian/xz-utils@5.4.1-0.2?arch=amd64&distro=debian-12"}]},
 {"name": "libstdc++6", "externalRefs": [{"referenceType": "purl",
  "referenceLocator": "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=gcc-12@12.2.0-14"}]},
 {"name": "bash", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:rpm/rocky%20linux/bash@5.1.8-6.el9?arch=x86_64&distro=rocky-9&epoch=1"},
  {"referenceType": "cpe23Type", "referenceLocator": "cpe:2.3:a:b"}]},
 {"name": "m", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:golang/example.org/m@v1.0.0"}]},
 {"name": "lost", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:deb/debian/lost@1"}]}
]}`

func TestPackagesAreThoseThatAdvisoriesAreAbout(t *testing.T) {
	all, err := Packages([]byte(bill))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range all {
		got = append(got, p.Ecosystem+" "+p.Name+" "+p.Version)
	}
	want := []string{"debian:12 xz-utils 5.4.1-0.2", "debian:12 gcc-12 12.2.0-14", "rocky%20linux:9 bash 1:5.1.8-6.el9"}
	if !slices.Equal(got, want) {
		t.Errorf("packages %q, want %q", got, want)
	}
	for _, text := range []string{"", "{}", "[]", `{"spdxVersion": "SPDX-3.0"}`} {
		if all, err := Packages([]byte(text)); err == nil {
			t.Errorf("%q lists %v", text, all)
		}
	}
}

// osv is an advisory as Debian's are published, about one package.
func osv(id, ecosystem, name, events, more string) string {
	return fmt.Sprintf(`{"id": %q, "modified": "2026-11-01T00:00:00Z", "affected": [{"package": {"ecosystem": %q, "name": %q},
 "ranges": [{"type": "ECOSYSTEM", "events": [%s]}]}] %s}`, id, ecosystem, name, events, more)
}

func search(t testing.TB, advisories ...string) []string {
	t.Helper()
	all, err := Packages([]byte(bill))
	if err != nil {
		t.Fatal(err)
	}
	s := NewSearch(all)
	for _, a := range advisories {
		if err := s.Add([]byte(a)); err != nil {
			t.Fatal(err)
		}
	}
	ids := []string{}
	for _, f := range s.Findings() {
		ids = append(ids, f.ID)
	}
	return ids
}

func TestWhatAdvisoriesSayOfAPackageIsFound(t *testing.T) {
	const from0, below, at = `{"introduced": "0"}`, `{"introduced": "0"}, {"fixed": "5.4.1-1"}`, `{"introduced": "0"}, {"fixed": "5.4.1-0.2"}`
	for name, test := range map[string]struct{ advisory, want string }{
		"not fixed":              {osv("DEBIAN-CVE-2026-1", "Debian:12", "xz-utils", from0, `, "upstream": ["CVE-2026-1"]`), "CVE-2026-1"},
		"fixed later":            {osv("CVE-2026-1", "Debian:12", "xz-utils", below, ""), "CVE-2026-1"},
		"fixed in this one":      {osv("CVE-2026-1", "Debian:12", "xz-utils", at, ""), ""},
		"fixed, and broken anew": {osv("CVE-2026-1", "Debian:12", "xz-utils", `{"introduced": "0"}, {"fixed": "5.0"}, {"introduced": "5.4~"}`, ""), "CVE-2026-1"},
		"in another order":       {osv("CVE-2026-1", "Debian:12", "xz-utils", `{"introduced": "5.4~"}, {"fixed": "5.0"}, {"introduced": "0"}`, ""), "CVE-2026-1"},
		"not yet introduced":     {osv("CVE-2026-1", "Debian:12", "xz-utils", `{"introduced": "5.6.0"}`, ""), ""},
		"the last affected":      {osv("CVE-2026-1", "Debian:12", "xz-utils", `{"introduced": "0"}, {"last_affected": "5.4.1-0.2"}`, ""), "CVE-2026-1"},
		"behind the last":        {osv("CVE-2026-1", "Debian:12", "xz-utils", `{"introduced": "0"}, {"last_affected": "5.4.1-0.1"}`, ""), ""},
		"another distribution":   {osv("CVE-2026-1", "Debian:13", "xz-utils", from0, ""), ""},
		"another package":        {osv("CVE-2026-1", "Debian:12", "liblzma5", from0, ""), ""},
		"withdrawn":              {osv("CVE-2026-1", "Debian:12", "xz-utils", from0, `, "withdrawn": "2026-11-02T00:00:00Z"`), ""},
		"several":                {osv("DSA-1-1", "Debian:12", "gcc-12", from0, `, "aliases": ["CVE-2026-2", "CVE-2026-1"], "related": ["CVE-2020-9"]`), "CVE-2026-1 CVE-2026-2"},
		"an older one":           {osv("DSA-1-1", "Debian:12", "gcc-12", from0, `, "related": ["CVE-2026-2"]`), "CVE-2026-2"},
		"without a CVE id":       {osv("DSA-1-1", "Debian:12", "gcc-12", from0, ""), "DSA-1-1"},
		"by its version":         {`{"id": "CVE-2026-1", "affected": [{"package": {"ecosystem": "Debian:12", "name": "xz-utils"}, "versions": ["5.4.1-0.2"]}]}`, "CVE-2026-1"},
		"of commits":             {`{"id": "CVE-2026-1", "affected": [{"package": {"ecosystem": "Debian:12", "name": "xz-utils"}, "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}]}`, ""},
	} {
		if got := strings.Join(search(t, test.advisory), " "); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	s := NewSearch(nil)
	for _, text := range []string{"", "[]", `{"schema": 1}`} {
		if err := s.Add([]byte(text)); err == nil {
			t.Errorf("%q is an advisory", text)
		}
	}
}

// TestFixedInAgreesWithDpkg has dpkg judge which versions are below the fixed one.
func TestFixedInAgreesWithDpkg(t *testing.T) {
	for _, fixed := range []string{"5.4.1-0.2", "5.4.1-0.2+b1", "5.4.1-0.2~deb12u1", "5.4.1-0.10", "1:1.0", "5.4.1", "5.4.1-0.1", "5.10"} {
		want := exec.Command("dpkg", "--compare-versions", "5.4.1-0.2", "lt", fixed).Run() == nil
		got := len(search(t, osv("CVE-2026-1", "Debian:12", "xz-utils", fmt.Sprintf(`{"introduced": "0"}, {"fixed": %q}`, fixed), ""))) == 1
		if got != want {
			t.Errorf("fixed in %s: affected is %v, dpkg says %v", fixed, got, want)
		}
	}
}

func TestFindingsHaveSeveritiesAndTheAgeOfTheData(t *testing.T) {
	all, err := Packages([]byte(bill))
	if err != nil {
		t.Fatal(err)
	}
	s := NewSearch(all)
	for _, a := range []string{
		osv("CVE-2026-2", "Debian:12", "gcc-12", `{"introduced": "0"}`, `, "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}]`),
		osv("CVE-2026-1", "Debian:12", "xz-utils", `{"introduced": "0"}`, ""),
		osv("CVE-2026-2", "Debian:12", "gcc-12", `{"introduced": "0"}`, `, "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}]`),
	} {
		if err := s.Add([]byte(a)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(s.Findings())
	if want := `[{"id":"CVE-2026-1","severity":[]},{"id":"CVE-2026-2","severity":[{"method":"CVSS_V3","score":"CVSS:3.1/AV:N"}]}]`; err != nil || string(text) != want {
		t.Errorf("findings %s, %v, want %s", text, err, want)
	}
	if s.Advisories != 3 || !s.Newest.Equal(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%d advisories, the newest of %s", s.Advisories, s.Newest)
	}
}

func FuzzSearch(f *testing.F) {
	f.Add([]byte(bill), []byte(osv("CVE-2026-1", "Debian:12", "xz-utils", `{"introduced": "0"}, {"fixed": "5.4.1-1"}`, "")))
	f.Fuzz(func(t *testing.T, bill, advisory []byte) {
		all, err := Packages(bill)
		if err != nil {
			return
		}
		s := NewSearch(all)
		if s.Add(advisory) != nil && len(s.Findings()) > 0 {
			t.Error("something was found in what is no advisory")
		}
	})
}
