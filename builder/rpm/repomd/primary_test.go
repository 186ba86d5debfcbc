package repomd

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

func testLoader() *loader {
	return &loader{Config: Config{Arch: manifests.AMD64, Index: 3, Priority: 99}, url: "http://repo.test"}
}

// manyPackages writes a primary list of n packages of the size that Fedora's have.
func manyPackages(w io.Writer, n int) {
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">`, n)
	text := strings.Repeat("Words that say what the package is for. ", 20)
	for i := range n {
		fmt.Fprintf(w, `<package type="rpm">
  <name>package-%[1]d</name>
  <arch>x86_64</arch>
  <version epoch="0" ver="1.%[2]d" rel="3.fc40"/>
  <checksum type="sha256" pkgid="YES">%064[1]x</checksum>
  <summary>A package</summary>
  <description>%[3]s</description>
  <packager>Fedora Project</packager>
  <url>http://example.org/</url>
  <time file="1700000000" build="1700000000"/>
  <size package="12345" installed="123456" archive="123456"/>
  <location href="Packages/p/package-%[1]d-1.%[2]d-3.fc40.x86_64.rpm"/>
  <format>
    <rpm:license>MIT</rpm:license>
    <rpm:sourcerpm>package-1.src.rpm</rpm:sourcerpm>
    <rpm:header-range start="1" end="2"/>
    <rpm:provides>
`, i, i%50, text)
		for j := range 8 {
			fmt.Fprintf(w, "      <rpm:entry name=\"lib%d.so.%d()(64bit)\" flags=\"EQ\" epoch=\"0\" ver=\"1.%d\" rel=\"3.fc40\"/>\n", i, j, i%50)
		}
		io.WriteString(w, "    </rpm:provides>\n    <rpm:requires>\n")
		for j := range 14 {
			fmt.Fprintf(w, "      <rpm:entry name=\"lib%d.so.%d()(64bit)\" flags=\"GE\" epoch=\"0\" ver=\"1.%d\" rel=\"1\"/>\n", (i*7+j)%n, j%8, j)
		}
		fmt.Fprintf(w, "    </rpm:requires>\n    <file>/usr/bin/package-%d</file>\n  </format>\n</package>\n", i)
	}
	io.WriteString(w, "</metadata>\n")
}

// BenchmarkPrimary says how long 50,000 packages take and what they keep.
func BenchmarkPrimary(b *testing.B) {
	var document bytes.Buffer
	manyPackages(&document, 50_000)
	b.SetBytes(int64(document.Len()))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var list *primary
	for b.Loop() {
		list = newPrimary(testLoader(), nil)
		if err := list.parse(bytes.NewReader(document.Bytes())); err != nil || len(list.found) != 50_000 {
			b.Fatal(len(list.found), err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-kept")
	b.ReportMetric(float64(after.Sys)/(1<<20), "MiB-sys")
	runtime.KeepAlive(list)
	runtime.KeepAlive(document.Bytes())
}

const onePackage = `<metadata><package type="rpm"><name>a</name><arch>x86_64</arch><version epoch="1" ver="2" rel="3"/>
<checksum type="sha256">` + "0123456789012345678901234567890123456789012345678901234567890123" + `</checksum>
<size package="9"/><location href="a.rpm"/><format><rpm:provides><rpm:entry name="p" flags="EQ" epoch="0" ver="1"/></rpm:provides>
<rpm:requires><rpm:entry name="(b or c)"/><rpm:entry name="rpmlib(X)" flags="LE" ver="1"/></rpm:requires><file>/usr/bin/a</file></format></package></metadata>`

func parsePrimary(document string) (*primary, error) {
	list := newPrimary(testLoader(), map[string]bool{"m-0:1-1.noarch": true})
	return list, list.parse(strings.NewReader(document))
}

func TestAPackageOfThePrimaryList(t *testing.T) {
	list, err := parsePrimary(onePackage)
	if err != nil || len(list.found) != 1 {
		t.Fatal(list.found, err)
	}
	want := "{a 1:2-3 x86_64 [p = 1 a = 1:2-3] [{ 2 [{b 0 []} {c 0 []}]}] [] [] [] [] [/usr/bin/a] false 3 99 http://repo.test/a.rpm 9 sha256:0123456789012345678901234567890123456789012345678901234567890123}"
	if got := fmt.Sprint(list.found[0]); got != want {
		t.Errorf("%s: want %s", got, want)
	}
}

func TestWhatAPrimaryListMustNotSay(t *testing.T) {
	replace := func(old, with string) string {
		t.Helper()
		if !strings.Contains(onePackage, old) {
			t.Fatalf("there is no %s", old)
		}
		return strings.ReplaceAll(onePackage, old, with)
	}
	for want, document := range map[string]string{
		"want metadata":             replace("metadata>", "filelists>"),
		"unexpected EOF":            onePackage[:len(onePackage)-20],
		"without a name":            replace("<name>a</name>", ""),
		"or an architecture":        replace("<arch>x86_64</arch>", ""),
		"version":                   replace(`ver="2"`, ""),
		"epoch \"x\"":               replace(`epoch="1"`, `epoch="x"`),
		"want sha256 or sha512":     replace("sha256", "sha1"),
		"want 64 lower-case":        replace("</checksum>", "x</checksum>"),
		"want a checksum":           replace(`<size package="9"/>`, ""),
		"number of bytes":           replace(`package="9"`, `package="-9"`),
		"in another place":          replace("<location", `<location xml:base="http://evil.test"`),
		"without . and ..":          replace("a.rpm", "../a.rpm"),
		"below the repository":      replace("a.rpm", "/a.rpm"),
		"path below the repository": replace("a.rpm", "%2e%2e/a.rpm"),
		"not a URL":                 replace("a.rpm", "http:a.rpm"),
		"absolute path":             replace("/usr/bin/a", "usr/bin/a"),
		"flags":                     replace(`flags="EQ"`, `flags="XX"`),
		"(b or":                     replace("(b or c)", "(b or"),
		"want words":                replace("<name>a</name>", "<name>a/b</name>"),
	} {
		list, err := parsePrimary(document)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
		if named := err != nil && strings.Contains(err.Error(), `package "a`); !named && want != "want metadata" && want != "unexpected EOF" && want != "without a name" {
			t.Errorf("%v: want it to name the package (%d found)", err, len(list.found))
		}
	}
}

func TestOtherPackagesAreLeftOut(t *testing.T) {
	variant := func(pairs ...string) string {
		return strings.TrimSuffix(strings.TrimPrefix(strings.NewReplacer(pairs...).Replace(onePackage), "<metadata>"), "</metadata>")
	}
	list, err := parsePrimary("<metadata>" + strings.Join([]string{
		variant(),
		variant(`rel="3"`, `rel="4"`), // another version
		variant("x86_64", "noarch"),
		variant("x86_64", "i686", "sha256", "md5", "(b or c)", "(b or"), // not for us, so not looked at
		variant("x86_64", "aarch64"),
		variant("x86_64", "src"),
		variant("a.rpm", "copy/a.rpm"), // the first again
		variant("<name>a", "<name>m", `epoch="1" ver="2" rel="3"`, `epoch="0" ver="1" rel="1"`, "x86_64", "noarch"),
		variant(`rel="3"`, `rel="3.module+el8+1"`),
		variant(`rel="3"`, `rel="3.module_f31+1"`),
	}, "") + "</metadata>")
	var got []string
	for _, p := range list.found {
		got = append(got, p.Version+"."+p.Arch+" "+p.URL)
	}
	want := "1:2-3.x86_64 http://repo.test/a.rpm, 1:2-4.x86_64 http://repo.test/a.rpm, 1:2-3.noarch http://repo.test/a.rpm"
	if strings.Join(got, ", ") != want || list.modular != 3 || err != nil {
		t.Errorf("%v, %d of modules, %v: want %s, 3", strings.Join(got, ", "), list.modular, err, want)
	}
}

func FuzzPrimary(f *testing.F) {
	f.Add([]byte(onePackage))
	var two bytes.Buffer
	manyPackages(&two, 2)
	f.Add(two.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		list := newPrimary(testLoader(), nil)
		if err := list.parse(bytes.NewReader(data)); err != nil {
			return
		}
		for _, p := range list.found {
			if p.Name == "" || p.Version == "" || p.Size <= 0 || p.Checksum == "" || !strings.HasPrefix(p.URL, "http://repo.test/") || strings.Contains(p.URL, "/../") {
				t.Errorf("accepted %+v", p)
			}
			if !contains(p.Provides, packages.Relation{Name: p.Name, Op: packages.Equal, Version: p.Version}) {
				t.Errorf("%s does not provide itself", p.Name)
			}
		}
	})
}

func FuzzFilelists(f *testing.F) {
	f.Add([]byte(`<filelists><package pkgid="1" name="a" arch="noarch"><version ver="1"/><file>/a</file><file type="dir">/b&amp;c</file></package></filelists>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := Repository{Packages: make([]packages.Package, 1), byID: map[string]int{"1": 0}}
		_ = r.parseFilelists(bytes.NewReader(data), map[string]string{"/a": "/a", "/b&c": "/b&c"})
		if files := r.Packages[0].Files; len(files) > 2 {
			t.Errorf("files %q", files)
		}
	})
}

func FuzzRepomd(f *testing.F) {
	f.Add([]byte(`<repomd><revision>1</revision><data type="primary"><checksum type="sha256">` + strings.Repeat("0", 64) +
		`</checksum><location href="repodata/p.xml.gz"/><size>1</size><open-size>2</open-size></data></repomd>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := parseIndex(data, "http://repo.test")
		if err != nil {
			return
		}
		for kind, r := range x.records {
			if r.checksum == "" || r.size <= 0 || !strings.HasPrefix(r.url, "http://repo.test/") || strings.Contains(r.url, "/../") {
				t.Errorf("%s: accepted %+v", kind, r)
			}
		}
	})
}
