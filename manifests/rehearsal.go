package manifests

import (
	"fmt"
	"slices"
	"time"
)

// RehearsalType is the predicate type of an in-toto statement about a rehearsal
// (https://github.com/in-toto/attestation, Statement v1); its predicate is a
// Rehearsal, and its one subject the release.json of the release.
const RehearsalType = "https://github.com/proa-os/proa/rehearsal/v1"

const rehearsalsMost = 100 // releases that it went from, and checks

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

// What is done to a machine in a rehearsal: RehearsedFrom.Passed of a whole one has all
// of them.
const (
	SceneCutInDownload  = "power cut in the download"
	SceneCutAfterArming = "power cut right after arming"
	SceneUpdate         = "update"
	SceneCutInTrial     = "power cut in the trial"
	SceneFailingHealth  = "failing health check"
)

// Lacks are the scenes that a rehearsal should have and this one has not.
func (f RehearsedFrom) Lacks() []string {
	var lacks []string
	for _, scene := range []string{SceneCutInDownload, SceneCutAfterArming, SceneUpdate, SceneCutInTrial, SceneFailingHealth} {
		if !slices.Contains(f.Passed, scene) {
			lacks = append(lacks, scene)
		}
	}
	return lacks
}

// Statement is the in-toto statement that the rehearsal was of a release, named
// by the digest of its release.json.
func (r Rehearsal) Statement(release Digest) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("rehearsal: %w", err)
	}
	return newStatement(RehearsalType, r, release)
}

// ParseRehearsal reads a statement of Statement, whose bytes must have been
// verified, and tells the release that it is about. Fields that are not known are
// passed over, as in-toto wants it.
func ParseRehearsal(data []byte) (release Digest, r Rehearsal, err error) {
	about, err := readStatement(data, RehearsalType, &r)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return Digest{}, Rehearsal{}, fmt.Errorf("rehearsal: %w", err)
	}
	return about[0], r, nil
}

func (r Rehearsal) check() error {
	if err := checkIdentity(r.Product, r.Arch, r.Version); err != nil {
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
