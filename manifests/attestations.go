package manifests

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	// AttestationsMost is how many attestations a repository has of a release.
	AttestationsMost = 64
	// AttestationsSizeMost bounds the bytes of them: hosts that demand any fetch all.
	AttestationsSizeMost = 1 << 20
)

// AttestationsTarget is the target that holds what others have attested of a release,
// beside its release.json: "releases/<product>/<arch>/<version>/release.json.intoto.jsonl",
// a bundle of in-toto
// (https://github.com/in-toto/attestation/blob/main/spec/v1/bundle.md).
func AttestationsTarget(product string, arch Arch, v Version) string {
	return ReleaseTarget(product, arch, v) + ".intoto.jsonl"
}

// SplitAttestations is the lines of a bundle, which should be envelopes (package
// signing). Whoever reads them passes over what it does not know or believe.
func SplitAttestations(bundle []byte) ([][]byte, error) {
	if len(bundle) > AttestationsSizeMost {
		return nil, fmt.Errorf("attestations of %d bytes: want at most %d", len(bundle), AttestationsSizeMost)
	}
	var lines [][]byte
	for line := range bytes.Lines(bundle) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(lines) == AttestationsMost {
			return nil, fmt.Errorf("more than %d attestations", AttestationsMost)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// Attested is what a statement is one of.
type Attested struct {
	Type string // its predicate type
	// Of tells statements of a type and a signer from each other that all mean
	// something: by the builder, or by the releases that were gone from.
	Of string
}

// Attests reads a statement of any type that hosts know, which must be about the
// release whose release.json has the digest d.
func Attests(statement []byte, r Release, d Digest) (Attested, error) {
	s, err := parseStatement(statement)
	if err != nil {
		return Attested{}, fmt.Errorf("statement: %w", err)
	}
	attested := Attested{Type: s.PredicateType}
	about := d
	switch s.PredicateType {
	case ProvenanceType:
		var p Provenance
		if p, err = ParseProvenance(statement); err == nil {
			attested.Of, err = p.Builder, p.CheckFor(r)
		}
	case RehearsalType:
		var rehearsal Rehearsal
		about, rehearsal, err = ParseRehearsal(statement)
		var lacks []string
		whole := false
		for _, from := range rehearsal.From {
			attested.Of += from.Release.String() + " "
			lacks = from.Lacks()
			whole = whole || len(lacks) == 0
		}
		if err == nil && !whole {
			err = fmt.Errorf("it lacks the scene %s", strings.Join(lacks, ", "))
		}
	case RebuildType:
		var rebuild Rebuild
		if about, rebuild, err = ParseRebuild(statement); err == nil && about == d {
			err = rebuild.CheckFor(r)
		}
	case ScanType:
		var scan Scan
		var sbom Digest
		if about, sbom, scan, err = ParseScan(statement); err == nil && about == d {
			err = scan.CheckFor(r, sbom)
		}
	default:
		err = fmt.Errorf("predicateType %q: want %s, %s, %s or %s", clip(s.PredicateType), ProvenanceType, RehearsalType, RebuildType, ScanType)
	}
	if err == nil && about != d {
		err = fmt.Errorf("it is about release.json %s: want %s", about, d)
	}
	return attested, err
}

// JoinAttestations is a bundle of envelopes, each of which is one line of JSON.
func JoinAttestations(envelopes [][]byte) ([]byte, error) {
	bundle := append(bytes.Join(envelopes, []byte("\n")), '\n')
	lines, err := SplitAttestations(bundle)
	if err == nil && len(lines) != len(envelopes) {
		err = fmt.Errorf("%d envelopes make %d lines", len(envelopes), len(lines))
	}
	return bundle, err
}
