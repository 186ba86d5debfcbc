package provenance

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/proa-os/proa/manifests"
)

func digest(s string) manifests.Digest { return manifests.DigestOf([]byte(s)) }

func config() Config {
	return Config{
		Product: "edge", Version: "1.0.0", Arch: "amd64", Epoch: 1700000000,
		Recipe: digest("recipe"), Lock: digest("lock"), Tool: "1.2.3",
		Artifacts: []manifests.Artifact{{Name: "disk.raw", Size: 5, Digest: digest("disk")}, {Name: "root.erofs", Size: 6, Digest: digest("root")}},
		Inputs:    []Input{{"tar <a>", "", digest("a")}, {"p 1 all", "https://deb.example/p.deb", digest("p")}},
	}
}

func statement(t *testing.T, c Config) []byte {
	t.Helper()
	text, err := Statement(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestTheStatementIsProvenanceToInTotosReader has the attestation framework's
// own types as its oracle, with unknown fields refused.
func TestTheStatementIsProvenanceToInTotosReader(t *testing.T) {
	c := config()
	var s intoto.Statement
	if err := protojson.Unmarshal(statement(t, c), &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.PredicateType != PredicateType || len(s.Subject) != 2 || s.Subject[1].Name != "root.erofs" || s.Subject[1].Digest["sha256"] != digest("root").Hex() {
		t.Errorf("statement %v", &s)
	}
	text, err := protojson.Marshal(s.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var p slsa.Provenance
	if err := protojson.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"recipe": c.Recipe.String(), "lock": c.Lock.String(), "product": "edge", "version": "1.0.0", "arch": "amd64", "epoch": "1700000000"}
	got := p.BuildDefinition.ExternalParameters.AsMap()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("parameter %s is %v: want %v", key, got[key], value)
		}
	}
	if len(got) != len(want) || p.BuildDefinition.BuildType != BuildType || p.RunDetails.Builder.Id != DefaultBuilder || p.RunDetails.Builder.Version["proa"] != "1.2.3" {
		t.Errorf("provenance %v", &p)
	}
	deps := p.BuildDefinition.ResolvedDependencies
	if len(deps) != 2 || deps[0].Name != "tar <a>" || deps[1].Uri != "https://deb.example/p.deb" || deps[1].Digest["sha256"] != digest("p").Hex() {
		t.Errorf("dependencies %v", deps)
	}
}

// TestSameBuildIsTheSameStatement reads the fields' order, too: protojson
// alone writes spaces by chance.
func TestSameBuildIsTheSameStatement(t *testing.T) {
	text := statement(t, config())
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	if string(text)+"\n" != want.String() {
		t.Errorf("not compact with sorted keys: %s", text)
	}
	for range 10 {
		if !bytes.Equal(statement(t, config()), text) {
			t.Fatal("a statement differs")
		}
	}
}

func TestWhatIsMissingIsAnError(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"product":   func(c *Config) { c.Product = "" },
		"recipe":    func(c *Config) { c.Recipe = manifests.Digest{} },
		"artifacts": func(c *Config) { c.Artifacts = nil },
		"utf-8":     func(c *Config) { c.Inputs[0].Name = "\xff" },
	} {
		c := config()
		change(&c)
		if text, err := Statement(c); err == nil || text != nil {
			t.Errorf("%s: a statement nevertheless: %s", name, text)
		}
	}
}

func TestEveryInputOfALockIsNamed(t *testing.T) {
	blob := func(s string) manifests.LockedBlob { return manifests.LockedBlob{Size: 1, Digest: digest(s)} }
	var got []Input
	for _, locked := range []manifests.Locked{
		{Source: "tar root.tar", Arch: "amd64", File: &manifests.FetchFile{Size: 1, Digest: digest("tar")}},
		{Source: "oci r.example:5000/a/B:1.0", Arch: "amd64", Image: &manifests.LockedImage{
			Reference: "r.example:5000/a/B:1.0", Index: digest("index"), Manifest: blob("manifest"), Config: blob("config"), Layers: []manifests.LockedBlob{blob("l1"), blob("l2")},
		}},
		{Source: "deb packages", Arch: "amd64",
			Repositories: []manifests.LockedRepository{{URL: "https://deb.example", Suite: "bookworm", Digest: digest("inrelease")}},
			Packages:     []manifests.LockedPackage{{Name: "p", Version: "1", Arch: "all", URL: "https://deb.example/p.deb", Digest: digest("p")}, {Name: "q", Version: "2", Arch: "all", URL: "./q.deb", Digest: digest("q")}}},
	} {
		got = append(got, Inputs(locked)...)
	}
	want := []Input{
		{"tar root.tar", "", digest("tar")},
		{"oci r.example:5000/a/B:1.0", "pkg:oci/b@sha256%3A" + digest("manifest").Hex() + "?repository_url=r.example%3A5000%2Fa%2FB&tag=1.0", digest("manifest")},
		{"oci r.example:5000/a/B:1.0, index", "pkg:oci/b@sha256%3A" + digest("index").Hex() + "?repository_url=r.example%3A5000%2Fa%2FB&tag=1.0", digest("index")},
		{"oci r.example:5000/a/B:1.0, config", "", digest("config")},
		{"oci r.example:5000/a/B:1.0, layer", "", digest("l1")},
		{"oci r.example:5000/a/B:1.0, layer", "", digest("l2")},
		{"repository https://deb.example bookworm", "https://deb.example", digest("inrelease")},
		{"p 1 all", "https://deb.example/p.deb", digest("p")},
		{"q 2 all", "", digest("q")},
	}
	if !slices.Equal(got, want) {
		t.Errorf("inputs\n%s\nwant\n%s", show(got), show(want))
	}
}

func show(inputs []Input) string {
	var lines []string
	for _, in := range inputs {
		lines = append(lines, in.Name+" "+in.URI+" "+in.Digest.String())
	}
	return strings.Join(lines, "\n")
}
