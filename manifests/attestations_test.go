package manifests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// theirProvenance is a statement as in-toto's own types write it, of a release.
func theirProvenance(t testing.TB, builder string, r Release) []byte {
	t.Helper()
	text, err := protojson.Marshal(&slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{BuildType: "https://example.org/build"},
		RunDetails:      &slsa.RunDetails{Builder: &slsa.Builder{Id: builder}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: ProvenanceType, Predicate: &structpb.Struct{}}
	if err := protojson.Unmarshal(text, s.Predicate); err != nil {
		t.Fatal(err)
	}
	for _, a := range r.Artifacts {
		if a.Name != ProvenanceFile {
			s.Subject = append(s.Subject, &intoto.ResourceDescriptor{Name: a.Name, Digest: map[string]string{"sha256": a.Digest.Hex()}})
		}
	}
	if text, err = protojson.Marshal(s); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer // protojson adds spaces by chance
	if err := json.Compact(&compact, text); err != nil {
		t.Fatal(err)
	}
	return compact.Bytes()
}

func TestProvenanceTellsWhoBuiltWhat(t *testing.T) {
	p, err := ParseProvenance(theirProvenance(t, "https://ci.example.org", attestedRelease()))
	if err != nil || p.Builder != "https://ci.example.org" {
		t.Fatalf("builder %q, %v", p.Builder, err)
	}
	if err := p.CheckFor(attestedRelease()); err != nil {
		t.Error(err)
	}
	other := attestedRelease()
	other.Artifacts[len(other.Artifacts)-1].Digest = DigestOf(nil)
	if err := p.CheckFor(other); err == nil || !strings.Contains(err.Error(), "it says that uki.efi was made with") {
		t.Errorf("another kernel image: %v", err)
	}
	more := attestedRelease()
	more.Artifacts = append(more.Artifacts, Artifact{Name: "zusatz"})
	if err := p.CheckFor(more); err == nil || !strings.Contains(err.Error(), "it does not say that zusatz was made there") {
		t.Errorf("one file more: %v", err)
	}
}

func TestWhatIsNoProvenanceIsRefused(t *testing.T) {
	text := string(theirProvenance(t, "https://ci.example.org", attestedRelease()))
	for _, c := range []struct{ old, new, want string }{
		{"provenance/v1", "provenance/v0.2", "predicateType"},
		{"https://ci.example.org", "", "it names no builder"},
		{`"root.erofs"`, `"disk.raw"`, `subject "disk.raw" is there twice`},
		{`"sha256":"`, `"sha512":"`, "want sha256: and 64"},
	} {
		changed := strings.Replace(text, c.old, c.new, 1)
		if changed == text {
			t.Fatalf("%s is not in %s", c.old, text)
		}
		if _, err := ParseProvenance([]byte(changed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.new, err, c.want)
		}
	}
}

func TestOnlyWhatIsAboutTheReleaseIsAttestedOfIt(t *testing.T) {
	r, d := attestedRelease(), DigestOf([]byte("release"))
	statement := func(text []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	whole := goodRehearsal() // from one of its two releases
	whole.From[1].Passed = RehearsedFrom{}.Lacks()
	for _, good := range []struct {
		text []byte
		want Attested
	}{
		{theirProvenance(t, "https://a.example", r), Attested{ProvenanceType, "https://a.example"}},
		{statement(goodRebuild().Statement(d)), Attested{RebuildType, ""}},
		{statement(whole.Statement(d)), Attested{RehearsalType, fmt.Sprintf("%s %s ", DigestOf([]byte("old")), DigestOf([]byte("older")))}},
	} {
		if got, err := Attests(good.text, r, d); err != nil || got != good.want {
			t.Errorf("got %+v, %v: want %+v", got, err, good.want)
		}
	}
	scanned := statement(goodScan().Statement(d, DigestOf([]byte(SBOMFile))))
	if got, err := Attests(scanned, r, d); err != nil || got != (Attested{ScanType, ""}) {
		t.Errorf("got %+v, %v", got, err)
	}
	otherRoot := goodRebuild()
	otherRoot.RootHash = HexBytes(strings.Repeat("x", 32))
	other := r
	other.Artifacts = append(other.Artifacts[:0:0], other.Artifacts...)
	other.Artifacts[0].Digest = DigestOf(nil)
	for want, text := range map[string][]byte{
		"it is about release.json sha256:": statement(goodRebuild().Statement(DigestOf(nil))),
		"it came to root hash":             statement(otherRoot.Statement(d)),
		"it is of sbom.spdx.json sha256:":  statement(goodScan().Statement(d, DigestOf(nil))),
		"about release.json":               statement(whole.Statement(DigestOf(nil))),
		"it lacks the scene power cut":     statement(goodRehearsal().Statement(d)),
		"disk.raw was made with":           theirProvenance(t, "https://a.example", other),
		`predicateType "https://x": want`:  []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://x","predicate":{}}`),
		"statement: ":                      []byte("nothing"),
	} {
		if _, err := Attests(text, r, d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestBundlesAreBoundedLines(t *testing.T) {
	lines, err := SplitAttestations([]byte("{\"a\":1}\r\n\n  {}\n{\"end\": 0}"))
	if err != nil || len(lines) != 3 || string(lines[0]) != `{"a":1}` || string(lines[2]) != `{"end": 0}` {
		t.Errorf("lines %q, %v", lines, err)
	}
	if _, err := SplitAttestations(bytes.Repeat([]byte("{}\n"), 10_000)); err == nil || !strings.Contains(err.Error(), "more than 64 attestations") {
		t.Errorf("10,000 of them: %v", err)
	}
	if _, err := SplitAttestations(make([]byte, AttestationsSizeMost+1)); err == nil || !strings.Contains(err.Error(), "want at most 1048576") {
		t.Errorf("too much: %v", err)
	}
	if _, err := JoinAttestations([][]byte{[]byte("{\n}")}); err == nil {
		t.Error("an envelope of two lines is one of a bundle")
	}
	bundle, err := JoinAttestations([][]byte{[]byte("{}"), []byte("[]")})
	if err != nil || string(bundle) != "{}\n[]\n" {
		t.Errorf("bundle %q, %v", bundle, err)
	}
}

func FuzzAttests(f *testing.F) {
	r, d := attestedRelease(), DigestOf([]byte("release"))
	rebuild, err := goodRebuild().Statement(d)
	if err != nil {
		f.Fatal(err)
	}
	whole := goodRehearsal()
	whole.From[1].Passed = RehearsedFrom{}.Lacks()
	rehearsal, err := whole.Statement(d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(rebuild)
	f.Add(rehearsal)
	scan, err := goodScan().Statement(d, DigestOf([]byte(SBOMFile)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(scan)
	f.Add(theirProvenance(f, "https://a.example", r))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Nothing but what names the release counts.
		if _, err := Attests(data, r, d); err == nil && !bytes.Contains(data, []byte("sha256")) && !bytes.Contains(data, []byte(`\u`)) {
			t.Error("it counts, and names no digest")
		}
	})
}
