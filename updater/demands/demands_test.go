package demands

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

const ci = "https://ci.example.org/proa"

// must is for what a test cannot go on without.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKey(t testing.TB) signing.PrivateKey {
	path := filepath.Join(t.TempDir(), "key.pem")
	must(signing.CreateKeyFile(path))
	return must(signing.ReadKeyFile(path))
}

func publics(keys ...signing.PrivateKey) []signing.PublicKey {
	var all []signing.PublicKey
	for _, key := range keys {
		all = append(all, key.Public())
	}
	return all
}

func aRelease() (manifests.Release, manifests.Digest) {
	r := manifests.Release{
		Schema: 1, Product: "edge", Version: "1.1.0", Arch: manifests.AMD64,
		Root: manifests.Root{Hash: bytes.Repeat([]byte{1}, 32), Salt: bytes.Repeat([]byte{2}, 32), Blocks: 2},
	}
	for _, name := range []string{manifests.ProvenanceFile, manifests.RootFile, manifests.SBOMFile, manifests.StateFile, manifests.UKIFile} {
		r.Artifacts = append(r.Artifacts, manifests.Artifact{Name: name, Digest: manifests.DigestOf([]byte(name))})
	}
	return r, manifests.DigestOf([]byte("release"))
}

func rebuild(change func(*manifests.Rebuild)) []byte {
	r, d := aRelease()
	b := manifests.Rebuild{
		Product: r.Product, Version: r.Version, Arch: r.Arch, RootHash: r.Root.Hash, Kernel: manifests.DigestOf([]byte(manifests.UKIFile)),
		Recipe: manifests.DigestOf(nil), Same: []string{manifests.RootFile, manifests.StateFile}, Otherwise: []string{},
	}
	if change != nil {
		change(&b)
	}
	return must(b.Statement(d))
}

// rehearsal is one of all scenes but those to leave out.
func rehearsal(version manifests.Version, from manifests.Digest, of manifests.Digest, without ...string) []byte {
	gone := manifests.RehearsedFrom{Version: version, Release: from, Passed: []string{"one more"}}
	for _, scene := range gone.Lacks() {
		if !slices.Contains(without, scene) {
			gone.Passed = append(gone.Passed, scene)
		}
	}
	return must(manifests.Rehearsal{
		Product: "edge", Version: "1.1.0", Arch: manifests.AMD64, Finished: time.Unix(0, 0).UTC(), Checks: []string{},
		From: []manifests.RehearsedFrom{gone},
	}.Statement(of))
}

func provenance(builder string, change func(name string, d manifests.Digest) manifests.Digest) []byte {
	r, _ := aRelease()
	var made []any
	for _, a := range r.Artifacts[1:] {
		if change != nil {
			a.Digest = change(a.Name, a.Digest)
		}
		made = append(made, map[string]any{"name": a.Name, "digest": map[string]string{"sha256": a.Digest.Hex()}})
	}
	return must(json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": made, "predicateType": manifests.ProvenanceType,
		"predicate": map[string]any{"runDetails": map[string]any{"builder": map[string]any{"id": builder}}},
	}))
}

func seal(statement []byte, keys ...signing.PrivateKey) []byte {
	return must(signing.Seal(signing.PayloadInToto, statement, keys...))
}

func missing(d Demands, envelopes ...[]byte) string {
	r, digest := aRelease()
	return strings.Join(d.Missing(Evidence{Release: r, Digest: digest, Envelopes: envelopes, Running: Running{Version: "1.0.0"}}), "; ")
}

func TestRebuildersCountByTheirKeys(t *testing.T) {
	one, two, stranger := newKey(t), newKey(t), newKey(t)
	d := Demands{Rebuilds: &Rebuilds{Keys: publics(one, two), Threshold: 2}}
	short := func(have int) string { return fmt.Sprintf("%d of 2 independent rebuilds attest its root hash", have) }
	later := rebuild(func(r *manifests.Rebuild) { r.Tool = "2" })
	var envelope map[string]any
	if err := json.Unmarshal(seal(rebuild(nil), one), &envelope); err != nil {
		t.Fatal(err)
	}
	signature := envelope["signatures"].([]any)[0].(map[string]any)
	envelope["signatures"] = []any{signature, signature, map[string]any{"keyid": two.Public().ID(), "sig": signature["sig"]}}
	doubled := must(json.Marshal(envelope))
	many := make([][]byte, 64)
	for n := range many {
		many[n] = seal(rebuild(nil), one)
	}
	for name, test := range map[string]struct {
		envelopes [][]byte
		want      string
	}{
		"nothing":                        {nil, short(0)},
		"one":                            {[][]byte{seal(rebuild(nil), one)}, short(1)},
		"two":                            {[][]byte{seal(rebuild(nil), one), seal(rebuild(nil), two)}, ""},
		"in one envelope":                {[][]byte{seal(rebuild(nil), two, one)}, ""},
		"one twice":                      {[][]byte{seal(rebuild(nil), one), seal(later, one)}, short(1)},
		"one 64 times":                   {many, short(1)},
		"its signature under two's name": {[][]byte{doubled}, short(1)},
		"a stranger beside one":          {[][]byte{seal(rebuild(nil), one, stranger), seal(rebuild(nil), stranger)}, short(1)},
		"unsigned":                       {[][]byte{seal(rebuild(nil)), seal(rebuild(nil), one)}, short(1)},
		"among lines that are none":      {[][]byte{[]byte("{}"), seal(rebuild(nil), one), []byte("x"), seal(rebuild(nil), two)}, ""},
		"of another root hash":           {[][]byte{seal(rebuild(func(r *manifests.Rebuild) { r.RootHash = bytes.Repeat([]byte{9}, 32) }), one, two)}, short(0)},
		"of another kernel image":        {[][]byte{seal(rebuild(func(r *manifests.Rebuild) { r.Kernel = manifests.DigestOf(nil) }), one, two)}, short(0)},
		"that leaves state.json out":     {[][]byte{seal(rebuild(func(r *manifests.Rebuild) { r.Same = r.Same[:1] }), one, two)}, short(0)},
		"a rehearsal by them":            {[][]byte{seal(rehearsal("1.0.0", manifests.DigestOf(nil), manifests.DigestOf([]byte("release"))), one, two)}, short(0)},
		"provenance by them":             {[][]byte{seal(provenance(ci, nil), one, two)}, short(0)},
	} {
		if got := missing(d, test.envelopes...); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	// About another release that has the same root image.
	r, _ := aRelease()
	other := Evidence{Release: r, Digest: manifests.DigestOf([]byte("other")), Envelopes: [][]byte{seal(rebuild(nil), one, two)}}
	if got := d.Missing(other); len(got) != 1 || got[0] != short(0) {
		t.Errorf("about another release: %q", got)
	}
	d.Rebuilds.Threshold = 0
	if got := missing(d, seal(rebuild(nil), two)); got != "" {
		t.Errorf("one is wanted if nothing is said: %q", got)
	}
}

func TestABuilderCountsUnderItsNameAndKey(t *testing.T) {
	one, two := newKey(t), newKey(t)
	const other = "https://other.example"
	d := Demands{Provenance: []Builder{{ci, one.Public()}, {other, two.Public()}}}
	lacks := "no provenance says that " + ci + " or " + other + " built it"
	spoilt := func(spoil string) []byte {
		return provenance(ci, func(name string, digest manifests.Digest) manifests.Digest {
			if name == spoil {
				return manifests.DigestOf([]byte("other"))
			}
			return digest
		})
	}
	for name, test := range map[string]struct {
		envelope []byte
		want     string
	}{
		"the first":                 {seal(provenance(ci, nil), one), ""},
		"the second":                {seal(provenance(other, nil), two), ""},
		"both on one":               {seal(provenance(ci, nil), two, one), ""},
		"one under another's name":  {seal(provenance(other, nil), one), lacks},
		"other under one's name":    {seal(provenance(ci, nil), two), lacks},
		"unsigned":                  {seal(provenance(ci, nil)), lacks},
		"of another kernel image":   {seal(spoilt(manifests.UKIFile), one), lacks},
		"of another root image":     {seal(spoilt(manifests.RootFile), one), lacks},
		"of another state.json":     {seal(spoilt(manifests.StateFile), one), lacks},
		"a rebuild by a builder":    {seal(rebuild(nil), one), lacks},
		"another payload's type":    {must(signing.Seal("application/json", provenance(ci, nil), one)), lacks},
		"what only looks like JSON": {[]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AAAA"}]}`), lacks},
	} {
		if got := missing(d, test.envelope); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestARehearsalIsWantedFromWhatRuns(t *testing.T) {
	lab, stranger := newKey(t), newKey(t)
	r, d := aRelease()
	runs, other := manifests.DigestOf([]byte("runs")), manifests.DigestOf([]byte("other"))
	const none, elsewhere = "no rehearsal of it is attested", "it was not rehearsed from 1.0.0, which runs here"
	const short = "its rehearsal from 1.0.0 lacks the scene power cut in the trial, failing health check"
	cut := rehearsal("1.0.0", runs, d, manifests.SceneCutInTrial, manifests.SceneFailingHealth)
	for name, test := range map[string]struct {
		envelope    []byte
		fromRunning bool
		known       manifests.Digest
		want        string
	}{
		"from anywhere":                       {seal(rehearsal("0.9.0", other, d), lab), false, runs, ""},
		"from elsewhere":                      {seal(rehearsal("0.9.0", other, d), lab), true, runs, elsewhere},
		"from what runs":                      {seal(rehearsal("1.0.0", runs, d), lab), true, runs, ""},
		"from the same version":               {seal(rehearsal("1.0.0", other, d), lab), true, runs, elsewhere},
		"where the digest is not known":       {seal(rehearsal("1.0.0", other, d), lab), true, manifests.Digest{}, ""},
		"from elsewhere, and it is not known": {seal(rehearsal("0.9.0", other, d), lab), true, manifests.Digest{}, elsewhere},
		"of another release":                  {seal(rehearsal("1.0.0", runs, other), lab), true, runs, none},
		"by somebody else":                    {seal(rehearsal("1.0.0", runs, d), stranger), true, runs, none},
		"a rebuild":                           {seal(rebuild(nil), lab), false, runs, none},
		"of fewer scenes":                     {seal(cut, lab), false, runs, short},
		"of fewer scenes, from what runs":     {seal(cut, lab), true, runs, short},
		"of fewer scenes, from elsewhere":     {seal(cut, lab), true, other, elsewhere},
	} {
		demands := Demands{Rehearsal: &Rehearsal{Keys: publics(lab), FromRunning: test.fromRunning}}
		got := demands.Missing(Evidence{Release: r, Digest: d, Envelopes: [][]byte{test.envelope}, Running: Running{"1.0.0", test.known}})
		if strings.Join(got, "; ") != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	// One that is whole is enough, wherever it stands.
	for _, envelopes := range [][][]byte{
		{seal(cut, lab), seal(rehearsal("1.0.0", runs, d), lab)},
		{seal(rehearsal("1.0.0", runs, d), lab), seal(cut, lab), seal(rehearsal("0.9.0", other, d), lab)},
	} {
		demands := Demands{Rehearsal: &Rehearsal{Keys: publics(lab), FromRunning: true}}
		if got := demands.Missing(Evidence{Release: r, Digest: d, Envelopes: envelopes, Running: Running{"1.0.0", runs}}); got != nil {
			t.Errorf("a whole one among others: %q", got)
		}
	}
}

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// scan is one of the given age, in hours.
func scan(hours int, of, sbom manifests.Digest, found ...string) []byte {
	at := now.Add(-time.Duration(hours) * time.Hour)
	s := manifests.Scan{
		Scanner:  manifests.Scanner{URI: "https://scanner.example", DB: manifests.ScannerDB{LastUpdate: at}, Result: []manifests.Finding{}},
		Metadata: manifests.ScanMetadata{Started: at, Finished: at},
	}
	for _, id := range found {
		s.Scanner.Result = append(s.Scanner.Result, manifests.Finding{ID: id, Severity: []manifests.Severity{}})
	}
	return must(s.Statement(of, sbom))
}

func TestAScanMustBeFreshAndWithoutWhatIsDenied(t *testing.T) {
	one, two, stranger := newKey(t), newKey(t), newKey(t)
	r, d := aRelease()
	sbom := manifests.DigestOf([]byte(manifests.SBOMFile))
	other := manifests.DigestOf([]byte("other"))
	const bad, fine = "CVE-2024-3094", "CVE-2026-1"
	const none, stale = "no scan of it for vulnerabilities is attested", "its last scan for vulnerabilities was on 2026-11-24 12:00 UTC: want one of the last 24h"
	for name, test := range map[string]struct {
		envelopes [][]byte
		want      string
	}{
		"none":                          {nil, none},
		"fresh":                         {[][]byte{seal(scan(1, d, sbom, fine), one)}, ""},
		"fresh, and denied":             {[][]byte{seal(scan(1, d, sbom, fine, bad), one)}, "it has " + bad},
		"stale":                         {[][]byte{seal(scan(48, d, sbom, fine), one)}, stale},
		"stale, and denied":             {[][]byte{seal(scan(48, d, sbom, bad), one)}, "it has " + bad},
		"denied before, not any more":   {[][]byte{seal(scan(2, d, sbom, bad), one), seal(scan(1, d, sbom), one)}, ""},
		"denied now, not before":        {[][]byte{seal(scan(1, d, sbom, bad), one), seal(scan(2, d, sbom), one)}, "it has " + bad},
		"one says so, the other not":    {[][]byte{seal(scan(1, d, sbom), one), seal(scan(2, d, sbom, bad), two)}, "it has " + bad},
		"one is stale, the other fresh": {[][]byte{seal(scan(90, d, sbom), one), seal(scan(2, d, sbom), two)}, ""},
		"by a stranger":                 {[][]byte{seal(scan(1, d, sbom), stranger)}, none},
		"denied by a stranger":          {[][]byte{seal(scan(1, d, sbom), one), seal(scan(0, d, sbom, bad), stranger)}, ""},
		"of another release":            {[][]byte{seal(scan(1, other, sbom), one)}, none},
		"of another bill of materials":  {[][]byte{seal(scan(1, d, other), one)}, none},
		"by a clock that is ahead":      {[][]byte{seal(scan(-20, d, sbom), one)}, ""},
		"from the future":               {[][]byte{seal(scan(-30, d, sbom), one)}, none},
		"a rebuild":                     {[][]byte{seal(rebuild(nil), one)}, none},
	} {
		demands := Demands{Vulnerabilities: &Vulnerabilities{Keys: publics(one, two), Deny: []string{bad}, MaxAge: manifests.Duration(24 * time.Hour)}}
		got := demands.Missing(Evidence{Release: r, Digest: d, Envelopes: test.envelopes, Now: now})
		if strings.Join(got, "; ") != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	many := Demands{Vulnerabilities: &Vulnerabilities{Keys: publics(one)}}
	if got := many.Missing(Evidence{Release: r, Digest: d, Envelopes: [][]byte{seal(scan(700, d, sbom), one)}, Now: now}); got != nil {
		t.Errorf("700 hours old, and nothing is said: %q", got)
	}
	var ids []string
	for n := range 12 {
		ids = append(ids, fmt.Sprintf("CVE-2026-%02d", n))
	}
	many.Vulnerabilities.Deny = ids
	got := many.Missing(Evidence{Release: r, Digest: d, Envelopes: [][]byte{seal(scan(1, d, sbom, ids...), one)}, Now: now})
	if len(got) != 1 || !strings.HasSuffix(got[0], "CVE-2026-09 and 2 more that are denied") {
		t.Errorf("12 of them: %q", got)
	}
}

// What is said in ways that this host does not know yet adds nothing and spoils nothing.
func TestStatementsOfALaterTimeArePassedOver(t *testing.T) {
	key, other := newKey(t), newKey(t)
	r, digest := aRelease()
	d := Demands{
		Provenance: []Builder{{ci, other.Public()}}, Rebuilds: &Rebuilds{Keys: publics(key)}, Rehearsal: &Rehearsal{Keys: publics(key)},
		Vulnerabilities: &Vulnerabilities{Keys: publics(key), Deny: []string{"CVE-2026-1"}},
	}
	var good, later [][]byte
	for _, statement := range [][]byte{
		rebuild(nil), provenance(ci, nil), rehearsal("1.0.0", digest, digest), scan(0, digest, manifests.DigestOf([]byte(manifests.SBOMFile))),
	} {
		envelope := seal(statement, key, other)
		good = append(good, envelope)
		for _, change := range []struct{ old, new string }{
			{`"predicateType":"http`, `"predicateType":"later-http`},
			{"in-toto.io/Statement/v1", "in-toto.io/Statement/v2"},
			{`"subject":[`, `"subject":[{"name":"later.json","digest":{"sha3-512":"00"}},`},
			{`"predicate":{`, `"predicate":{"later":null,`},
			{`"predicate":{`, `"predicate":["later",{`},
		} {
			if changed := strings.Replace(string(statement), change.old, change.new, 1); changed != string(statement) {
				later = append(later, seal([]byte(changed), key, other))
			} else {
				t.Errorf("%s is not in %s", change.old, statement)
			}
		}
		later = append(later, must(signing.Seal("application/vnd.later+json", statement, key, other)),
			[]byte(strings.Replace(string(envelope), `{"`, `{"later":null,"`, 1)), []byte(strings.Replace(string(envelope), `"sig":"`, `"sig":"later`, 2)))
	}
	for name, envelopes := range map[string][][]byte{"before": append(later[:len(later):len(later)], good...), "after": append(good[:len(good):len(good)], later...)} {
		if got := d.Missing(Evidence{Release: r, Digest: digest, Envelopes: envelopes, Now: now}); got != nil {
			t.Errorf("later ones %s: %q", name, got)
		}
	}
	if got := d.Missing(Evidence{Release: r, Digest: digest, Envelopes: later, Now: now}); len(got) != 4 {
		t.Errorf("later ones alone, but only these are missing: %q", got)
	}
}

func FuzzMissing(f *testing.F) {
	key := newKey(f)
	d := Demands{
		Provenance: []Builder{{ci, key.Public()}}, Rebuilds: &Rebuilds{Keys: publics(key)}, Rehearsal: &Rehearsal{Keys: publics(key)},
		Vulnerabilities: &Vulnerabilities{Keys: publics(key), Deny: []string{"CVE-1"}},
	}
	_, digest := aRelease()
	for _, statement := range [][]byte{rebuild(nil), provenance(ci, nil), rehearsal("1.0.0", digest, digest), scan(1, digest, digest)} {
		f.Add(statement, true)
		f.Add(seal(statement, newKey(f)), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, signed bool) {
		envelope := data
		if signed {
			envelope = seal(data, key)
		}
		// One statement is of one kind, and what nobody signed is of none.
		if n := len(d.Missing(Evidence{Release: manifests.Release{}, Digest: digest, Envelopes: [][]byte{envelope}})); n < 3 || !signed && n != 4 {
			t.Errorf("%d things are missing", n)
		}
	})
}
