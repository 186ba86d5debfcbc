package provenance

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
)

func TestAnAmendedStatementSaysWhatWasMadeAnewAndOfWhat(t *testing.T) {
	built := statement(t, config())
	signed := []manifests.Artifact{{Name: "disk.raw", Digest: digest("signed disk")}, {Name: "root.erofs", Digest: digest("root")}}
	amended, err := Amend(built, signed, []Input{{"unsigned release.json", "", digest("release")}})
	if err != nil {
		t.Fatal(err)
	}
	// It is the statement of a build that had read that, too, and made these.
	c := config()
	c.Artifacts = signed
	c.Inputs = append(c.Inputs, Input{"unsigned release.json", "", digest("release")})
	if want := statement(t, c); string(amended) != string(want) {
		t.Errorf("amended\n%s\nwant\n%s", amended, want)
	}
}

func TestOnlyProvenanceIsAmended(t *testing.T) {
	other := strings.Replace(string(statement(t, config())), PredicateType, "https://example.org/other", 1)
	for _, text := range []string{"nothing", "{}", other} {
		if _, err := Amend([]byte(text), config().Artifacts, nil); err == nil {
			t.Errorf("amended %.50s", text)
		}
	}
}

func FuzzAmend(f *testing.F) {
	text, err := Statement(config())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		if amended, err := Amend(text, config().Artifacts, nil); err == nil && !json.Valid(amended) {
			t.Error("no JSON")
		}
	})
}
