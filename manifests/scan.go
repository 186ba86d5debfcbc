package manifests

import (
	"errors"
	"fmt"
	"time"
)

// ScanType is the predicate type of an in-toto statement about a search for known
// vulnerabilities
// (https://github.com/in-toto/attestation/blob/main/spec/predicates/vulns_02.md). Its
// subjects are the release.json of a release and the bill of materials that was
// searched, in this order.
const ScanType = "https://in-toto.io/attestation/vulns/v0.2"

// findingsMost is how many vulnerabilities a Scan lists.
const findingsMost = 20_000

// Scan is what a search for known vulnerabilities has found.
type Scan struct {
	Scanner  Scanner      `json:"scanner"`
	Metadata ScanMetadata `json:"metadata"`
}

// Scanner says what searched, in what, and what it found.
type Scanner struct {
	URI     string    `json:"uri"`
	Version string    `json:"version,omitempty"`
	DB      ScannerDB `json:"db"`
	Result  []Finding `json:"result"` // each id once, sorted; [] if nothing was found
}

// ScannerDB is the advisories that were searched.
type ScannerDB struct {
	URI        string    `json:"uri,omitempty"`
	LastUpdate time.Time `json:"lastUpdate"`
}

// Finding is one vulnerability that the release has as far as the advisories know.
type Finding struct {
	ID string `json:"id"` // such as CVE-2024-3094
	// Severity is how bad it is by one or more measures; [] where nobody said.
	Severity []Severity `json:"severity"`
}

// Severity is how bad a vulnerability is.
type Severity struct {
	Method string `json:"method"` // such as CVSS_V3
	Score  string `json:"score"`
}

// ScanMetadata says when a search was made.
type ScanMetadata struct {
	Started  time.Time `json:"scanStartedOn"`
	Finished time.Time `json:"scanFinishedOn"`
}

// Statement is the in-toto statement that the scan was of a release, by the digests of
// its release.json and its bill of materials.
func (s Scan) Statement(release, sbom Digest) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	return newStatement(ScanType, s, release, Artifact{Name: SBOMFile, Digest: sbom})
}

// ParseScan reads a statement of Statement, whose bytes must have been verified, and
// tells the release and the bill of materials that it is about. Fields that are not
// known are passed over, as in-toto wants it.
func ParseScan(data []byte) (release, sbom Digest, s Scan, err error) {
	about, err := readStatement(data, ScanType, &s, SBOMFile)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return Digest{}, Digest{}, Scan{}, fmt.Errorf("scan: %w", err)
	}
	return about[0], about[1], s, nil
}

func (s Scan) check() error {
	switch n := len(s.Scanner.Result); {
	case s.Scanner.URI == "":
		return errors.New("it names no scanner")
	case s.Scanner.Result == nil:
		return errors.New("want a result, an empty list if nothing was found")
	case n > findingsMost:
		return fmt.Errorf("%d results: want at most %d", n, findingsMost)
	case s.Metadata.Finished.IsZero():
		return errors.New("it does not say when it finished")
	}
	for i, f := range s.Scanner.Result {
		if f.ID == "" {
			return fmt.Errorf("result %d has no id", i)
		}
		if f.Severity == nil {
			return fmt.Errorf("result %q: want a severity, an empty list if there is none", clip(f.ID))
		}
	}
	return nil
}

// CheckFor reports how a scan of the bill of materials with the digest sbom is not one
// of the given release.
func (s Scan) CheckFor(r Release, sbom Digest) error {
	a, ok := r.Artifact(SBOMFile)
	switch {
	case !ok:
		return fmt.Errorf("the release has no %s", SBOMFile)
	case a.Digest != sbom:
		return fmt.Errorf("it is of %s %s: the release has %s", SBOMFile, sbom, a.Digest)
	}
	return nil
}
