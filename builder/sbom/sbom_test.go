package sbom

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"

	"github.com/proa-os/proa/builder/inventory"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

func put(t testing.TB, to *tree.Tree, path, content string) {
	t.Helper()
	n := &tree.Node{Kind: tree.File, Mode: 0o755, Source: "test", Content: tree.Content{At: strings.NewReader(content), Size: int64(len(content))}}
	if err := to.Put(path, n); err != nil {
		t.Fatal(err)
	}
}

// sample has what a system has: packages of two formats, one whose paths lead
// through a link, hard links, files of nobody, names that are not UTF-8.
func sample(t testing.TB) *tree.Tree {
	all := tree.New()
	put(t, all, "usr/bin/alpha", "alpha program")
	put(t, all, "usr/share/alpha/data", "data")
	put(t, all, "usr/bin/program", "a Go program")
	put(t, all, "etc/local", "of nobody")
	put(t, all, "odd/\xff\x01", "odd name")
	put(t, all, "odd/\xfe\x01", "another odd name")
	put(t, all, "empty", "")
	if err := all.Put("bin", &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: "usr/bin", Source: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := all.Link("usr/bin/alpha2", "usr/bin/alpha"); err != nil {
		t.Fatal(err)
	}
	return all
}

func config(t testing.TB) Config {
	return Config{
		Product: "edge gateway", Version: "1.0.0+x", Arch: "amd64", Epoch: 1700000000, RootHash: []byte{1, 2, 3},
		Image: manifests.DigestOf([]byte("image")), Tree: sample(t), Tool: "proa-1.2",
		Inputs: []Input{{"tar root.tar", "", manifests.DigestOf([]byte("in"))}, {"a.deb", "https://deb.example/a.deb", manifests.DigestOf(nil)}},
		Inventory: inventory.Inventory{
			OS: map[string]string{"ID": "debian", "VERSION_ID": "12"},
			Packages: []inventory.Package{
				{Format: packages.Deb, Name: "alpha", Version: "1:2.0-3+b1", Arch: "amd64", Source: "alphasrc", SourceV: "1:2.0-3", License: "GPL-2.0-or-later AND LicenseRef-public-domain",
					Supplier: "A \"B\" <a@b.example>", Homepage: "https://alpha.example", Files: []string{"bin", "bin/alpha2", "usr/share/alpha", "usr/share/alpha/data", "not/there"}},
				{Format: packages.RPM, Name: "beta", Version: "3:1.0~rc1-2", Arch: "noarch", License: "MIT OR LicenseRef-e OR LicenseRef-a OR LicenseRef-c OR LicenseRef-b OR LicenseRef-d"},
				{Format: packages.RPM, Name: "beta", Version: "3:1.0~rc1-2", Arch: "noarch", License: "MIT OR LicenseRef-e OR LicenseRef-a OR LicenseRef-c OR LicenseRef-b OR LicenseRef-d"},
			},
			Programs: []inventory.Program{{Path: "usr/bin/program", Go: "go1.26.1", Main: inventory.Module{Path: "example.org/program", Version: "(devel)"},
				Deps: []inventory.Module{{Path: "example.org/Dep", Version: "v1.2.3", Sum: "h1:x="}}}},
		},
	}
}

func write(t testing.TB, c Config) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(t.Context(), &out, c); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func load(t testing.TB, data []byte) *spdx.Document {
	t.Helper()
	document, err := spdxjson.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		t.Fatal(err)
	}
	return document
}

func find(t testing.TB, d *spdx.Document, name string) *spdx.Package {
	t.Helper()
	for _, p := range d.Packages {
		if p.PackageName == name {
			return p
		}
	}
	t.Fatalf("no package %s", name)
	return nil
}

// related lists what a relation leads to.
func related(d *spdx.Document, from common.ElementID, relation string) []common.ElementID {
	var to []common.ElementID
	for _, r := range d.Relationships {
		if r.RefA.ElementRefID == from && r.Relationship == relation {
			to = append(to, r.RefB.ElementRefID)
		}
	}
	return to
}

func paths(d *spdx.Document, ids []common.ElementID) []string {
	var names []string
	for _, f := range d.Files {
		if slices.Contains(ids, f.FileSPDXIdentifier) {
			names = append(names, f.FileName)
		}
	}
	return names
}

func TestEveryFileIsInOnePackageOrInTheSystem(t *testing.T) {
	d := load(t, write(t, config(t)))
	system, alpha := find(t, d, "edge gateway"), find(t, d, "alpha")
	if got := related(d, documentID, common.TypeRelationshipDescribe); !slices.Equal(got, []common.ElementID{system.PackageSPDXIdentifier}) {
		t.Errorf("the document describes %q", got)
	}
	if got := paths(d, related(d, alpha.PackageSPDXIdentifier, common.TypeRelationshipContains)); !slices.Equal(got, []string{"./usr/bin/alpha2", "./usr/share/alpha/data"}) {
		t.Errorf("alpha contains %q", got)
	}
	contained := related(d, system.PackageSPDXIdentifier, common.TypeRelationshipContains)
	if got := paths(d, contained); len(got) != 6 || !slices.Contains(got, "./etc/local") || slices.Contains(got, "./usr/bin/alpha2") {
		t.Errorf("the system contains %q", got)
	}
	for _, name := range []string{"alpha", "beta", "example.org/program", "example.org/Dep", "stdlib"} {
		if !slices.Contains(contained, find(t, d, name).PackageSPDXIdentifier) {
			t.Errorf("the system does not contain %s", name)
		}
	}
	if got := related(d, systemID, common.TypeRelationshipGeneratedFrom); len(got) != 2 {
		t.Errorf("the system is generated from %q: want both inputs", got)
	}
	if got := related(d, fileID("usr/bin/program"), common.TypeRelationshipGeneratedFrom); len(got) != 3 {
		t.Errorf("the program is generated from %q: want its module, the standard library and a dependency", got)
	}
	if len(d.Packages) != 8 || len(d.Files) != 8 {
		t.Errorf("%d packages and %d files: want 8 and 8", len(d.Packages), len(d.Files))
	}
}

func TestFieldsAreWhatScannersRead(t *testing.T) {
	d := load(t, write(t, config(t)))
	for name, want := range map[string]string{
		"alpha":           "pkg:deb/debian/alpha@1:2.0-3%2Bb1?arch=amd64&distro=debian-12&upstream=alphasrc%401:2.0-3",
		"beta":            "pkg:rpm/debian/beta@1.0~rc1-2?arch=noarch&distro=debian-12&epoch=3",
		"example.org/Dep": "pkg:golang/example.org/dep@v1.2.3",
		"stdlib":          "pkg:golang/stdlib@1.26.1",
	} {
		if got := find(t, d, name).PackageExternalReferences[0].Locator; got != want {
			t.Errorf("%s is %s: want %s", name, got, want)
		}
	}
	alpha, system := find(t, d, "alpha"), find(t, d, "edge gateway")
	if alpha.PackageSupplier.Supplier != `A \"B\" (a@b.example)` && alpha.PackageSupplier.Supplier != `A "B" (a@b.example)` {
		t.Errorf("supplier %q", alpha.PackageSupplier.Supplier)
	}
	var others []string
	for _, l := range d.OtherLicenses {
		others = append(others, strings.TrimPrefix(l.LicenseIdentifier, "LicenseRef-"))
	}
	if !slices.Equal(others, []string{"a", "b", "c", "d", "e", "public-domain"}) {
		t.Errorf("licences that SPDX does not list: %+v", d.OtherLicenses)
	}
	if system.PackageChecksums[0].Value != manifests.DigestOf([]byte("image")).Hex() || !strings.Contains(system.PackageComment, "010203") {
		t.Errorf("system %+v", system)
	}
	if d.CreationInfo.Created != "2023-11-14T22:13:20Z" || strings.Contains(d.DocumentNamespace, " ") {
		t.Errorf("created %s, namespace %q", d.CreationInfo.Created, d.DocumentNamespace)
	}
}

// TestDigestsAreThoseOfTheFiles has sha1sum and sha256sum as its oracle, and
// computes the verification code as the specification words it.
func TestDigestsAreThoseOfTheFiles(t *testing.T) {
	c := config(t)
	d := load(t, write(t, c))
	dir := t.TempDir()
	for _, f := range d.Files {
		path := strings.TrimPrefix(f.FileName, "./")
		n, ok := c.Tree.Lookup(path)
		if !ok {
			continue // a name that JSON cannot hold
		}
		data := make([]byte, n.Content.Size)
		if len(data) > 0 {
			n.Content.Open().Read(data)
		}
		name := filepath.Join(dir, "f")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for i, tool := range []string{"sha1sum", "sha256sum"} {
			out, err := exec.Command(tool, name).Output()
			if err != nil {
				t.Fatal(err)
			}
			if want, _, _ := strings.Cut(string(out), " "); f.Checksums[i].Value != want {
				t.Errorf("%s: %v, %s says %s", path, f.Checksums[i], tool, want)
			}
		}
	}
	a, b := fmt.Sprintf("%x", sha1.Sum([]byte("alpha program"))), fmt.Sprintf("%x", sha1.Sum([]byte("data")))
	if want := fmt.Sprintf("%x", sha1.Sum([]byte(min(a, b)+max(a, b)))); find(t, d, "alpha").PackageVerificationCode.Value != want {
		t.Errorf("verification code %s: want %s", find(t, d, "alpha").PackageVerificationCode.Value, want)
	}
}

func TestTheVerificationCodeDoesNotDependOnTheFilesOrder(t *testing.T) {
	one, two := file{sums: Sums{SHA1: [20]byte{1}}}, file{sums: Sums{SHA1: [20]byte{2}}}
	if verificationCode([]file{one, two}) != verificationCode([]file{two, one}) {
		t.Error("it does")
	}
}

var idShape = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

func TestIdentifiersAreValidAndUnique(t *testing.T) {
	d := load(t, write(t, config(t)))
	seen := map[common.ElementID]bool{documentID: true}
	check := func(id common.ElementID) {
		if seen[id] || !idShape.MatchString(string(id)) {
			t.Errorf("identifier %q is twice there or not valid", id)
		}
		seen[id] = true
	}
	for _, p := range d.Packages {
		check(p.PackageSPDXIdentifier)
	}
	for _, f := range d.Files {
		check(f.FileSPDXIdentifier)
	}
	for _, r := range d.Relationships {
		if !seen[r.RefA.ElementRefID] || !seen[r.RefB.ElementRefID] {
			t.Errorf("%s %s %s: not both are there", r.RefA.ElementRefID, r.Relationship, r.RefB.ElementRefID)
		}
	}
}

func TestSameSystemIsTheSameDocument(t *testing.T) {
	first := write(t, config(t))
	for range 5 {
		if !bytes.Equal(write(t, config(t)), first) {
			t.Fatal("a document differs from the first")
		}
	}
	other := config(t)
	other.RootHash = []byte{9}
	if a, b := load(t, first), load(t, write(t, other)); a.DocumentNamespace == b.DocumentNamespace {
		t.Error("two systems have documents of one namespace")
	}
}

func TestKnownDigestsAreNotComputedAgain(t *testing.T) {
	c := config(t)
	sums, err := Hash(t.Context(), c.Tree)
	if err != nil {
		t.Fatal(err)
	}
	want := write(t, c)
	err = c.Tree.Walk(func(_ string, n *tree.Node) error {
		if n.Kind == tree.File {
			n.Content.At = nil // whoever reads it now panics
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Sums = sums
	if got := write(t, c); !bytes.Equal(got, want) {
		t.Error("given the digests, the document is another one")
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk on fire") }

func TestContentThatCannotBeReadIsNamed(t *testing.T) {
	c := config(t)
	n, _ := c.Tree.Lookup("etc/local")
	n.Content.At = broken{}
	if err := Write(t.Context(), &bytes.Buffer{}, c); err == nil || !strings.Contains(err.Error(), `"etc/local": disk on fire`) {
		t.Errorf("error %v", err)
	}
	n.Content.At = strings.NewReader("short")
	if err := Write(t.Context(), &bytes.Buffer{}, c); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("error %v", err)
	}
	if err := Write(t.Context(), &bytes.Buffer{}, Config{}); err == nil {
		t.Error("a document of nothing is written")
	}
}
