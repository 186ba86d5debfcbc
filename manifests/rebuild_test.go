package manifests

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// attestedRelease is a release of which something can be attested.
func attestedRelease() Release {
	r := Release{
		Schema: 1, Product: "edge", Version: "1.1.0", Arch: AMD64, Epoch: 1700000000,
		Root: Root{Hash: HexBytes(strings.Repeat("h", 32)), Salt: HexBytes(strings.Repeat("s", 32)), Blocks: 2},
	}
	for _, name := range []string{DiskFile, ExtensionsFile, ProvenanceFile, RootFile, SBOMFile, StateFile, UKIFile} {
		r.Artifacts = append(r.Artifacts, Artifact{Name: name, Size: 1, Digest: DigestOf([]byte(name))})
	}
	return r
}

func goodRebuild() Rebuild {
	r := attestedRelease()
	return Rebuild{
		Product: r.Product, Version: r.Version, Arch: r.Arch, RootHash: r.Root.Hash, Kernel: DigestOf([]byte(UKIFile)),
		Recipe: DigestOf([]byte("recipe")), Lock: DigestOf([]byte("lock")), Finished: time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC), Tool: "1.2",
		Same: []string{DiskFile, ExtensionsFile, RootFile, SBOMFile, StateFile, UKIFile}, Otherwise: []string{ProvenanceFile},
	}
}

func TestARebuildIsAStatementThatOthersRead(t *testing.T) {
	release := DigestOf([]byte("release"))
	text, err := goodRebuild().Statement(release)
	if err != nil {
		t.Fatal(err)
	}
	readByOthers(t, text, RebuildType, release)
	about, r, err := ParseRebuild(text)
	if err != nil || about != release || !reflect.DeepEqual(r, goodRebuild()) {
		t.Errorf("got %v of %s, %v", r, about, err)
	}
	if err := r.CheckFor(attestedRelease()); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoRebuildIsRefused(t *testing.T) {
	text, err := goodRebuild().Statement(DigestOf([]byte("release")))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"Statement/v1", "Statement/v0.1", "want https://in-toto.io/Statement/v1"},
		{"proa/rebuild/v1", "proa/rehearsal/v1", "predicateType"},
		{`"release.json"`, `"root.erofs"`, "subject: want one, named release.json"},
		{`"subject":[`, `"subject":[{"name":"release.json","digest":{}},`, "subject: want one"},
		{`"subject":[`, `"subject":[` + strings.Repeat(`{"name":"","digest":{}},`, subjectsMost), "subjects: want at most"},
		{`"sha256":"`, `"sha512":"`, "want sha256: and 64"},
		{`"product":"edge"`, `"product":"../edge"`, "product"},
		{`"rootHash":"`, `"rootHash":"00`, "root hash of 33 bytes"},
		{`"recipe":`, `"other":`, "want digests of kernel and recipe"},
		{`"otherwise":`, `"other":`, "want lists of what came out"},
		{`"kernel":`, `"other":`, "want digests of kernel and recipe"},
	} {
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if changed == string(text) {
			t.Fatalf("%s is not in it", c.old)
		}
		if _, _, err := ParseRebuild([]byte(changed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.new, err, c.want)
		}
	}
}

func TestARebuildOfAnotherReleaseIsNotTakenForThisOne(t *testing.T) {
	for want, change := range map[string]func(*Rebuild){
		"it is of edge 1.0.0":          func(r *Rebuild) { r.Version = "1.0.0" },
		"it is of other 1.1.0":         func(r *Rebuild) { r.Product = "other" },
		"for arm64":                    func(r *Rebuild) { r.Arch = ARM64 },
		"it came to root hash":         func(r *Rebuild) { r.RootHash = HexBytes(strings.Repeat("x", 32)) },
		"it came to kernel image":      func(r *Rebuild) { r.Kernel = DigestOf(nil) },
		"not say that root.erofs came": func(r *Rebuild) { r.Same = []string{StateFile, ExtensionsFile} },
		"not say that state.json came": func(r *Rebuild) { r.Same = []string{RootFile, ExtensionsFile} },
		"not say that extensions.json": func(r *Rebuild) { r.Same = []string{RootFile, StateFile} },
	} {
		r := goodRebuild()
		change(&r)
		if err := r.CheckFor(attestedRelease()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func FuzzParseRebuild(f *testing.F) {
	text, err := goodRebuild().Statement(DigestOf([]byte("release")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		about, r, err := ParseRebuild(data)
		if err != nil {
			return
		}
		again, err := r.Statement(about)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if other, _, err := ParseRebuild(again); err != nil || other != about {
			t.Fatalf("what was written is not read: %v", err)
		}
	})
}
