package manifests

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ProvenanceType is the predicate type of SLSA provenance v1
// (https://slsa.dev/spec/v1.0/provenance).
const ProvenanceType = "https://slsa.dev/provenance/v1"

// Provenance is what hosts read of a statement of SLSA provenance: who built, and
// what came out. Package builder/provenance writes all of it.
type Provenance struct {
	Builder string // URI of who built: runDetails.builder.id
	made    map[string]Digest
}

// ParseProvenance reads a statement, whose bytes must have been verified.
func ParseProvenance(data []byte) (Provenance, error) {
	p, err := parseProvenance(data)
	if err != nil {
		return Provenance{}, fmt.Errorf("provenance: %w", err)
	}
	return p, nil
}

func parseProvenance(data []byte) (Provenance, error) {
	s, err := parseStatement(data)
	if err != nil {
		return Provenance{}, err
	}
	if s.PredicateType != ProvenanceType {
		return Provenance{}, fmt.Errorf("predicateType %q: want %s", clip(s.PredicateType), ProvenanceType)
	}
	var predicate struct {
		RunDetails struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
		} `json:"runDetails"`
	}
	if err := json.Unmarshal(s.Predicate, &predicate); err != nil {
		return Provenance{}, err
	}
	p := Provenance{Builder: predicate.RunDetails.Builder.ID, made: map[string]Digest{}}
	if p.Builder == "" {
		return Provenance{}, errors.New("it names no builder")
	}
	for _, subject := range s.Subject {
		digest, err := subject.sha256()
		if err != nil {
			return Provenance{}, fmt.Errorf("subject %q: %w", clip(subject.Name), err)
		}
		if _, twice := p.made[subject.Name]; twice {
			return Provenance{}, fmt.Errorf("subject %q is there twice", clip(subject.Name))
		}
		p.made[subject.Name] = digest
	}
	return p, nil
}

// CheckFor demands that every artifact of a release was made in that build; the
// provenance itself cannot be among them. The kernel image is, and it names the
// root hash.
func (p Provenance) CheckFor(r Release) error {
	for _, a := range r.Artifacts {
		made, ok := p.made[a.Name]
		switch {
		case a.Name == ProvenanceFile:
		case !ok:
			return fmt.Errorf("it does not say that %s was made there", a.Name)
		case made != a.Digest:
			return fmt.Errorf("it says that %s was made with %s: the release has %s", a.Name, made, a.Digest)
		}
	}
	return nil
}
