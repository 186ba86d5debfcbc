package manifests

import (
	"encoding/json"
	"fmt"
	"time"
)

// RehearsalType is the predicate type of an in-toto statement about a rehearsal
// (https://github.com/in-toto/attestation, Statement v1); its predicate is a
// Rehearsal, and its one subject the release.json of the release.
const RehearsalType = "https://github.com/proa-os/proa/rehearsal/v1"

const (
	statementType  = "https://in-toto.io/Statement/v1"
	rehearsalsMost = 100 // releases that it went from, and checks
)

// Rehearsal says that machines went to a release from older ones, and came
// through everything that was done to them on the way. There is none of a
// rehearsal that failed.
type Rehearsal struct {
	Product  string          `json:"product"`
	Version  Version         `json:"version"`
	Arch     Arch            `json:"arch"`
	Channel  string          `json:"channel"`           // that the machines followed
	Finished time.Time       `json:"finished"`          // to the second, UTC
	Accel    string          `json:"accel"`             // QEMU's: "kvm", or "tcg,…" for emulation
	Settings Digest          `json:"settings,omitzero"` // of the machine's configuration, if there was one
	Checks   []string        `json:"checks"`            // names of the checks beside the release's own
	From     []RehearsedFrom `json:"from"`              // the releases it went from; at least one
}

// RehearsedFrom is one release that the machines went from.
type RehearsedFrom struct {
	Version Version  `json:"version"`
	Release Digest   `json:"release"` // of its release.json
	Passed  []string `json:"passed"`  // what was done, in order: "update", "power cut in the trial", …
}

// statement is a Statement v1 of in-toto.
type statement struct {
	Type          string             `json:"_type"`
	Subject       []statementSubject `json:"subject"`
	PredicateType string             `json:"predicateType"`
	Predicate     Rehearsal          `json:"predicate"`
}

type statementSubject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// Statement is the in-toto statement that the rehearsal was of a release, named
// by the digest of its release.json.
func (r Rehearsal) Statement(release Digest) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("rehearsal: %w", err)
	}
	return json.Marshal(statement{
		Type:          statementType,
		Subject:       []statementSubject{{ReleaseFile, map[string]string{"sha256": release.Hex()}}},
		PredicateType: RehearsalType,
		Predicate:     r,
	})
}

// ParseRehearsal reads a statement of Statement, whose bytes must have been
// verified, and tells the release that it is about. Fields that are not known are
// passed over, as in-toto wants it.
func ParseRehearsal(data []byte) (release Digest, r Rehearsal, err error) {
	var s statement
	if err = CheckJSON(data, DocumentMost); err == nil {
		err = json.Unmarshal(data, &s)
	}
	switch {
	case err != nil:
	case s.Type != statementType:
		err = fmt.Errorf("_type %q: want %s", clip(s.Type), statementType)
	case s.PredicateType != RehearsalType:
		err = fmt.Errorf("predicateType %q: want %s", clip(s.PredicateType), RehearsalType)
	case len(s.Subject) != 1 || s.Subject[0].Name != ReleaseFile:
		err = fmt.Errorf("subject: want one, named %s", ReleaseFile)
	default:
		release, err = ParseDigest("sha256:" + s.Subject[0].Digest["sha256"])
	}
	if err == nil {
		err = s.Predicate.check()
	}
	if err != nil {
		return Digest{}, Rehearsal{}, fmt.Errorf("rehearsal: %w", err)
	}
	return release, s.Predicate, nil
}

func (r Rehearsal) check() error {
	if err := CheckName("product", r.Product); err != nil {
		return err
	}
	if _, err := ParseVersion(string(r.Version)); err != nil {
		return err
	}
	if _, err := ParseArch(string(r.Arch)); err != nil {
		return err
	}
	if len(r.From) == 0 || len(r.From) > rehearsalsMost || len(r.Checks) > rehearsalsMost {
		return fmt.Errorf("from %d releases with %d checks: want 1 to %d, and at most %[3]d", len(r.From), len(r.Checks), rehearsalsMost)
	}
	for i, from := range r.From {
		if _, err := ParseVersion(string(from.Version)); err != nil {
			return fmt.Errorf("from[%d]: %w", i, err)
		}
		if from.Release.IsZero() || len(from.Passed) == 0 || len(from.Passed) > rehearsalsMost {
			return fmt.Errorf("from[%d]: want the release's digest, and 1 to %d things that it passed", i, rehearsalsMost)
		}
	}
	return nil
}
