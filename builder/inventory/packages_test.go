package inventory

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

func TestDpkgsRecordsAreReadAsDpkgQueryDoes(t *testing.T) {
	work := t.TempDir()
	root := filepath.Join(work, "root")
	for i, control := range []string{
		"Package: alpha\nVersion: 1:2.0-3+b1\nSource: alphasrc (1:2.0-3)\nArchitecture: amd64\nMulti-Arch: same\n",
		"Package: beta\nVersion: 0.9~rc1\nArchitecture: all\nHomepage: https://beta.example\n",
		"Package: gone\nVersion: 1\nArchitecture: all\n",
	} {
		dir := filepath.Join(work, fmt.Sprint("p", i))
		write(t, filepath.Join(dir, "DEBIAN/control"), control+"Maintainer: M <m@example.org>\nDescription: short\n long line\n .\n another\n")
		write(t, filepath.Join(dir, "usr/share/p", fmt.Sprint(i), "file with space"), "x")
		write(t, filepath.Join(dir, "etc/p", fmt.Sprint(i)), "x")
		write(t, filepath.Join(dir, "DEBIAN/conffiles"), fmt.Sprintf("/etc/p/%d\n", i))
		run(t, work, "dpkg-deb", "--root-owner-group", "-b", dir, fmt.Sprint(i, ".deb"))
	}
	for _, name := range []string{"status", "available"} {
		write(t, filepath.Join(root, "var/lib/dpkg", name), "")
	}
	write(t, filepath.Join(root, "var/lib/dpkg/updates/.keep"), "")
	write(t, filepath.Join(root, "var/lib/dpkg/info/format"), "1\n")
	dpkg := []string{"--root=" + root, "--force-not-root", "--force-bad-path", "--force-architecture", "--log=/dev/null"}
	run(t, work, "dpkg", append(dpkg, "-i", "0.deb", "1.deb", "2.deb")...)
	run(t, work, "dpkg", append(dpkg, "-r", "gone")...) // its configuration stays

	found := read(t, folder(t, root)).Packages
	admin := "--admindir=" + filepath.Join(root, "var/lib/dpkg")
	for line := range strings.Lines(run(t, work, "dpkg-query", admin, "-W", "-f",
		"${Package}|${Version}|${Architecture}|${source:Package}|${source:Version}|${Maintainer}|${Homepage}|${db:Status-Status}\n")) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if f[7] != "installed" {
			continue
		}
		i := slices.IndexFunc(found, func(p Package) bool { return p.Name == f[0] })
		if i < 0 {
			t.Errorf("%s is not found", f[0])
			continue
		}
		p := found[i]
		found = slices.Delete(found, i, i+1)
		source, version := p.Source, p.SourceV
		if source == "" {
			source = p.Name
		}
		if version == "" {
			version = p.Version
		}
		if got := strings.Join([]string{p.Name, p.Version, p.Arch, source, version, p.Supplier, p.Homepage}, "|"); got != strings.Join(f[:7], "|") {
			t.Errorf("%s: want %v", got, f[:7])
		}
		want := strings.Split(strings.TrimSpace(run(t, work, "dpkg-query", admin, "-L", p.Name)), "\n")
		for i := range want {
			want[i] = strings.TrimPrefix(want[i], "/")
		}
		want = slices.DeleteFunc(want, func(s string) bool { return s == "." })
		slices.Sort(want)
		if !slices.Equal(p.Files, want) || len(want) < 5 {
			t.Errorf("%s has %q: want %q", p.Name, p.Files, want)
		}
	}
	if len(found) != 0 {
		t.Errorf("too many: %+v", found)
	}
}

func TestAnOutlineLacksLicencesOnly(t *testing.T) {
	all := tree.New()
	put(t, all, "var/lib/dpkg/status", text("Package: a\nVersion: 1\n"))
	put(t, all, "usr/share/doc/a/copyright", text(mitText))
	outline, err := Outline(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	whole := read(t, all)
	if outline.Packages[0].License != "" || whole.Packages[0].License != "MIT" {
		t.Errorf("licences %q and %q", outline.Packages[0].License, whole.Packages[0].License)
	}
	whole.Packages[0].License = ""
	if !reflect.DeepEqual(outline, whole) {
		t.Errorf("%+v\n%+v", outline, whole)
	}
}

func TestStatusFolderOfImagesWithoutDpkgIsRead(t *testing.T) {
	all := tree.New()
	put(t, all, "var/lib/dpkg/status.d/tzdata", text("Package: tzdata\nVersion: 2024a\nArchitecture: all\nSource: tzdata (2024a-0)\n"))
	put(t, all, "var/lib/dpkg/status.d/tzdata.md5sums", text("d41d8cd98f00b204e9800998ecf8427e  usr/share/zoneinfo/UTC\nd41d8cd98f00b204e9800998ecf8427e  usr/bin/tz\n"))
	put(t, all, "usr/lib/sysimage/dpkg", symlink("/var/lib/dpkg")) // the same again
	found := read(t, all).Packages
	if len(found) != 1 || found[0].Name != "tzdata" || found[0].SourceV != "2024a-0" || !slices.Equal(found[0].Files, []string{"usr/bin/tz", "usr/share/zoneinfo/UTC"}) {
		t.Errorf("found %+v", found)
	}
}

const spec = `Name: %s
Epoch: %d
Version: 1.2~rc3
Release: 4.fc
Summary: A test
License: %s
Vendor: Example
BuildArch: noarch
%%description
x
%%install
mkdir -p %%{buildroot}/usr/share/%s
echo x > %%{buildroot}/usr/share/%s/file
%%files
/usr/share/%s
`

func TestRPMsRecordsAreReadAsRPMDoes(t *testing.T) {
	work := t.TempDir()
	db := filepath.Join(work, "root/usr/lib/sysimage/rpm")
	var packages []string
	for i, license := range []string{"GPLv2+ and (MIT or Apache-2.0)", "Proprietary"} {
		name := fmt.Sprint("pkg-", i)
		write(t, filepath.Join(work, name+".spec"), fmt.Sprintf(spec, name, i, license, name, name, name))
		run(t, work, "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+work, "--define", "_dbpath "+filepath.Join(work, "db"), name+".spec")
		packages = append(packages, filepath.Join(work, "RPMS/noarch", name+"-1.2~rc3-4.fc.noarch.rpm"))
	}
	rpm := []string{"--dbpath", db, "--define", "_db_backend sqlite"}
	run(t, work, "rpm", slices.Concat(rpm, []string{"-i", "--justdb", "--nodeps", "--ignoresize", "--nosignature"}, packages)...)

	var got []string
	for _, p := range read(t, folder(t, filepath.Join(work, "root"))).Packages {
		got = append(got, fmt.Sprintf("%s|%s|%s|%s|%s|%s", p.Name, p.Version, p.Arch, p.Supplier, p.Summary, "/"+strings.Join(p.Files, " /")+" "))
		if want := map[string]string{"pkg-0": "GPL-2.0-or-later AND (MIT OR Apache-2.0)", "pkg-1": "LicenseRef-Proprietary"}[p.Name]; p.License != want {
			t.Errorf("%s has licence %q: want %q", p.Name, p.License, want)
		}
	}
	out := run(t, work, "rpm", append(rpm, "-qa", "--qf", "%{NAME}|%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}|%{ARCH}|%{VENDOR}|%{SUMMARY}|[%{FILENAMES} ]\n")...)
	want := strings.Split(strings.TrimSuffix(strings.ReplaceAll(out, "|0:", "|"), "\n"), "\n")
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) != 2 {
		t.Errorf("found\n%q\nwant\n%q", got, want)
	}
}

func TestADatabaseThatHasNoEndIsRefused(t *testing.T) {
	work := t.TempDir()
	for name, sql := range map[string]string{
		"endless":  "CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS (SELECT 1 UNION ALL SELECT hnum + 1 FROM n) SELECT hnum, x'00' AS blob FROM n WHERE hnum < 0",
		"repeated": "CREATE TABLE h (blob); CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS (SELECT 1 UNION ALL SELECT hnum + 1 FROM n) SELECT hnum, h.blob FROM n, h",
		"computed": "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB AS (zeroblob(1 << 30)))",
	} {
		run(t, work, "sqlite3", name, sql)
		data, err := os.ReadFile(filepath.Join(work, name))
		if err != nil {
			t.Fatal(err)
		}
		all := tree.New()
		put(t, all, "var/lib/rpm/rpmdb.sqlite", text(string(data)))
		if _, err := Read(t.Context(), all); err == nil || !strings.Contains(err.Error(), "var/lib/rpm/rpmdb.sqlite: Packages ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestDamagedRecordsAreErrorsThatNameThem(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"var/lib/dpkg/status":                   {"Package: a\nnonsense\n", "var/lib/dpkg/status: line 2"},
		"var/lib/dpkg/status.d/x":               {"Package: a\n", "want a name and a version"},
		"var/lib/rpm/rpmdb.sqlite":              {strings.Repeat("x", 4096), "var/lib/rpm/rpmdb.sqlite: "},
		"usr/lib/sysimage/rpm/rpmdb.sqlite":     {"SQLite format 3\x00" + strings.Repeat("\xff", 8000), "usr/lib/sysimage/rpm/rpmdb.sqlite: "},
		"usr/lib/sysimage/../../etc/os-release": {strings.Repeat("x", textMost+1), "want at most"},
	} {
		all := tree.New()
		name = strings.TrimPrefix(name, "usr/lib/sysimage/../../")
		put(t, all, name, text(c.content))
		if _, err := Read(t.Context(), all); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
	}
}

// It would take hours to join the lines of a field one by one.
func TestALicenceOfManyFilesIsRead(t *testing.T) {
	text := "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles:" + strings.Repeat(" a\n", textMost/3) + "License: MIT\n"
	if got := copyrightLicense(text); got != "MIT" {
		t.Errorf("%q", got)
	}
}

func TestLicencesBecomeSPDXExpressions(t *testing.T) {
	head := "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
	for content, want := range map[string]string{
		head + "Files: *\nLicense: GPL-2+\n text\n\nFiles: debian/*\nLicense: MIT\n":           "GPL-2.0-or-later",
		head + "Files: a\nLicense: Expat\n\nFiles: b\n c\nLicense: BSD-3-clause or LGPL-2.1\n": "(BSD-3-Clause OR LGPL-2.1-only) AND MIT",
		head + "Files: *\nLicense: GPL-1+ or Artistic, and BSD-2-clause\n":                     "(GPL-1.0-or-later OR Artistic-1.0-Perl) AND BSD-2-Clause",
		head + "Files: *\nLicense: GPL-2+ with OpenSSL exception and public-domain\n":          "LicenseRef-GPL-2-or-later-with-OpenSSL-exception AND LicenseRef-public-domain",
		head + "License: GPL-2\n standalone\n":                                                 "",
		"It may be used under these terms:\n" + mitText:                                        "MIT",
		"On Debian systems, the full text is in /usr/share/common-licenses/GPL-2.\n":           "",
		head + "Files: *\nLicense: GPL-3+ AND GPL-3+\n\nFiles: x\nLicense: GPL-3+\n":           "GPL-3.0-or-later",
	} {
		if got := copyrightLicense(content); got != want {
			t.Errorf("%.150q: %q, want %q", content, got, want)
		}
	}
	for tag, want := range map[string]string{
		"MIT": "MIT", "LGPLv2+": "LGPL-2.0-or-later", "ASL 2.0 and BSD": "Apache-2.0 AND LicenseRef-BSD",
		"GPL-2.0-or-later AND (MIT OR BSD-3-Clause)": "GPL-2.0-or-later AND (MIT OR BSD-3-Clause)",
		"(broken": "LicenseRef-broken", "and": "LicenseRef-and", "": "", "MIT or": "LicenseRef-MIT-or",
	} {
		if got := rpmExpression(tag); got != want {
			t.Errorf("%q: %q, want %q", tag, got, want)
		}
	}
}

const mitText = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to
whom the Software is furnished to do so, subject to the following conditions:
The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR
IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`

// expressionShape is what SPDX 2.3, annex D, allows between parentheses.
var expressionShape = regexp.MustCompile(`^[A-Za-z0-9.-]+( (AND|OR) [A-Za-z0-9.-]+)*$`)

func checkExpression(t *testing.T, from, e string) {
	t.Helper()
	inner := regexp.MustCompile(`\(([^()]*)\)`)
	rest := e
	for range len(e) {
		m := inner.FindStringSubmatchIndex(rest)
		if m == nil {
			break
		}
		if part := rest[m[2]:m[3]]; !expressionShape.MatchString(part) {
			t.Fatalf("%q: %q is no expression: %q", from, e, part)
		}
		rest = rest[:m[0]] + "X" + rest[m[1]:]
	}
	if e != "" && !expressionShape.MatchString(rest) {
		t.Fatalf("%q: %q is no expression: %q", from, e, rest)
	}
}

func FuzzExpressions(f *testing.F) {
	for _, s := range []string{"GPL-2+ or MIT, and BSD", "(a and (b or c)) or d", "and or", "() MIT", "a, or b, and c", " , ", "MIT)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkExpression(t, s, rpmExpression(s))
		checkExpression(t, s, machineReadable("Files: *\nLicense: "+s))
	})
}

func FuzzStatus(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nStatus: install ok installed\n\nPackage: b\n c\n")
	f.Fuzz(func(t *testing.T, s string) {
		packages, err := parseStatus(s)
		for _, p := range packages {
			if err == nil && (p.Name == "" || p.Version == "") {
				t.Errorf("package %+v", p)
			}
		}
		ParseOSRelease(s)
		parseKernelConfig(s)
	})
}
