package manifests

import (
	"reflect"
	"strings"
	"testing"
	"time"

	vulns "github.com/in-toto/attestation/go/predicates/vulns/v02"
	"google.golang.org/protobuf/encoding/protojson"
)

func goodScan() Scan {
	at := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	return Scan{
		Scanner: Scanner{
			URI: "https://github.com/proa-os/proa", Version: "1.2", DB: ScannerDB{URI: "https://osv.dev", LastUpdate: at},
			Result: []Finding{{"CVE-2026-1", []Severity{}}, {"CVE-2026-2", []Severity{{"CVSS_V3", "CVSS:3.1/AV:N"}}}},
		},
		Metadata: ScanMetadata{Started: at, Finished: at.Add(time.Second)},
	}
}

// TestAScanIsAStatementThatOthersRead has in-toto's own types as its oracle, with
// unknown fields refused.
func TestAScanIsAStatementThatOthersRead(t *testing.T) {
	release, sbom := DigestOf([]byte("release")), DigestOf([]byte("sbom"))
	text, err := goodScan().Statement(release, sbom)
	if err != nil {
		t.Fatal(err)
	}
	theirs := readByOthers(t, text, ScanType, release, sbom)
	predicate, err := protojson.Marshal(theirs.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var found vulns.Vulns
	if err := protojson.Unmarshal(predicate, &found); err != nil {
		t.Fatal(err)
	}
	result := found.Scanner.Result
	if len(result) != 2 || result[0].Id != "CVE-2026-1" || result[1].Severity[0].Score != "CVSS:3.1/AV:N" || found.Metadata.ScanFinishedOn.AsTime() != goodScan().Metadata.Finished {
		t.Errorf("they read %+v", &found)
	}
	about, of, s, err := ParseScan(text)
	if err != nil || about != release || of != sbom || !reflect.DeepEqual(s, goodScan()) {
		t.Errorf("got %v of %s and %s, %v", s, about, of, err)
	}
}

func TestWhatIsNoScanIsRefused(t *testing.T) {
	text, err := goodScan().Statement(DigestOf([]byte("release")), DigestOf([]byte("sbom")))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"vulns/v0.2", "vulns/v0.1", "predicateType"},
		{`"sbom.spdx.json"`, `"root.erofs"`, "subject: want one, named release.json, and one, named sbom.spdx.json"},
		{`"uri":"https://github.com/proa-os/proa"`, `"uri":""`, "it names no scanner"},
		{`"result":`, `"results":`, "want a result"},
		{`"id":"CVE-2026-1"`, `"id":""`, "result 0 has no id"},
		{`"severity":[]`, `"severities":[]`, `result "CVE-2026-1": want a severity`},
		{`"scanFinishedOn":`, `"finished":`, "it does not say when it finished"},
		{`"result":[`, `"result":[` + strings.Repeat(`{"id":"x","severity":[]},`, findingsMost), "results: want at most"},
	} {
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if changed == string(text) {
			t.Fatalf("%s is not in it", c.old)
		}
		if _, _, _, err := ParseScan([]byte(changed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.100s: got %v, want %q", c.new, err, c.want)
		}
	}
}

func FuzzParseScan(f *testing.F) {
	text, err := goodScan().Statement(DigestOf([]byte("release")), DigestOf([]byte("sbom")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		release, sbom, s, err := ParseScan(data)
		if err != nil {
			return
		}
		again, err := s.Statement(release, sbom)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if other, of, _, err := ParseScan(again); err != nil || other != release || of != sbom {
			t.Fatalf("what was written is not read: %v", err)
		}
	})
}
