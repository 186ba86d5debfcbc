// Package demands decides whether what is attested of a release is what a host
// wants to see before it takes the release: Demands is what its configuration says,
// Evidence what there is, and Missing tells what one lacks of the other. All keys are
// the host's own; what the repository's keys sign adds no trust here.
//
// It fetches nothing.
package demands

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// Demands are what must be attested of a release. The zero value demands nothing.
type Demands struct {
	// Provenance wants the release to be built by one of these.
	Provenance []Builder `yaml:"provenance" json:"provenance,omitempty"`
	// Rebuilds wants the release to be built again by others.
	Rebuilds *Rebuilds `yaml:"rebuilds" json:"rebuilds,omitempty"`
	// Rehearsal wants an update to the release to be rehearsed.
	Rehearsal *Rehearsal `yaml:"rehearsal" json:"rehearsal,omitempty"`
	// Vulnerabilities wants the packages of the release to be looked up.
	Vulnerabilities *Vulnerabilities `yaml:"vulnerabilities" json:"vulnerabilities,omitempty"`
}

// Builder is one who builds releases. Its provenance counts under this name and key
// alone.
type Builder struct {
	ID  string            `yaml:"id" json:"id"`   // URI, as 'proa build --builder-id' says it; required
	Key signing.PublicKey `yaml:"key" json:"key"` // required
}

// Rebuilds are builds by others that came out the same.
type Rebuilds struct {
	// Keys are those of whom counts, each once, at most KeysMost; no builder's is
	// among them. Required.
	Keys []signing.PublicKey `yaml:"keys" json:"keys"`
	// Threshold is how many of them are wanted; 1 if not given.
	Threshold int `yaml:"threshold" json:"threshold"`
}

// Rehearsal is an update that was tried on virtual machines, with all scenes.
type Rehearsal struct {
	// Keys are those of whose rehearsals count, at most KeysMost. Required.
	Keys []signing.PublicKey `yaml:"keys" json:"keys"`
	// FromRunning wants one from the release that the host runs.
	FromRunning bool `yaml:"fromRunning" json:"fromRunning"`
}

// Vulnerabilities are those that a scan of the release's bill of materials finds.
type Vulnerabilities struct {
	// Keys are those of whose scans count, at most KeysMost. Required.
	Keys []signing.PublicKey `yaml:"keys" json:"keys"`
	// Deny are ids, such as CVE-2024-3094, none of which a scan may have found; at most
	// DenyMost.
	Deny []string `yaml:"deny" json:"deny,omitempty"`
	// MaxAge is how old a scan may be, 1h to 8760h; AgeMost if not given.
	MaxAge manifests.Duration `yaml:"maxAge" json:"maxAge,omitzero"`
}

const (
	// DenyMost is how many vulnerabilities are denied.
	DenyMost = 1000
	// AgeMost is how old a scan may be where nothing is said.
	AgeMost = manifests.Duration(720 * time.Hour)
)

// KeysMost is how many keys one demand names.
const KeysMost = 32

// Any reports whether anything is demanded.
func (d Demands) Any() bool { return d.Attestations() || len(d.Provenance) > 0 }

// Attestations reports whether anything is demanded that is attached to a release.
func (d Demands) Attestations() bool {
	return d.Rebuilds != nil || d.Rehearsal != nil || d.Vulnerabilities != nil
}

// Check calls fault with the path and the rule of each thing that is wrong.
func (d *Demands) Check(at string, fault func(path, format string, args ...any)) {
	builders := map[string]bool{}
	if n := len(d.Provenance); d.Provenance != nil && n == 0 || n > KeysMost {
		fault(at+".provenance", "%s.provenance: %d of them: want 1 to %d", at, n, KeysMost)
		return
	}
	for i, b := range d.Provenance {
		path := fmt.Sprintf("%s.provenance[%d]", at, i)
		if b.ID == "" || len(b.ID) > 2048 || strings.ContainsFunc(b.ID, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }) {
			fault(path+".id", "%s.id: want the URI of a builder", path)
		}
		if b.Key.ID() == "" {
			fault(path+".key", "%s.key is missing: want the line in a .pub file that 'proa key new' makes", path)
		}
		builders[b.Key.ID()] = true
	}
	if r := d.Rebuilds; r != nil {
		checkKeys(at+".rebuilds.keys", r.Keys, fault)
		for i, key := range r.Keys {
			if path := fmt.Sprintf("%s.rebuilds.keys[%d]", at, i); builders[key.ID()] {
				fault(path, "%s is the key of a builder, who cannot vouch for itself", path)
			}
		}
		if r.Threshold < 0 || r.Threshold > len(r.Keys) {
			fault(at+".rebuilds.threshold", "%s.rebuilds.threshold %d: want 1 to %d, the number of keys", at, r.Threshold, len(r.Keys))
		}
	}
	if r := d.Rehearsal; r != nil {
		checkKeys(at+".rehearsal.keys", r.Keys, fault)
	}
	if v := d.Vulnerabilities; v != nil {
		v.check(at+".vulnerabilities", fault)
	}
}

func checkKeys(at string, keys []signing.PublicKey, fault func(path, format string, args ...any)) {
	if len(keys) == 0 || len(keys) > KeysMost {
		fault(at, "%s: %d of them: want 1 to %d", at, len(keys), KeysMost)
		return
	}
	seen := map[string]bool{}
	for i, key := range keys {
		if path := fmt.Sprintf("%s[%d]", at, i); seen[key.ID()] {
			fault(path, "%s: it is there already", path)
		}
		seen[key.ID()] = true
	}
}

// Evidence is a release and what there is about it.
type Evidence struct {
	Release manifests.Release
	Digest  manifests.Digest // of its release.json
	// Envelopes are what is attached to it, with the envelope of its own provenance.
	// What is none of a known kind, is about something else or signed by others is
	// passed over.
	Envelopes [][]byte
	Running   Running
	Now       time.Time
}

// Running is the release that the host runs.
type Running struct {
	Version manifests.Version
	Release manifests.Digest // of its release.json; zero if the host does not know it
}

// Missing is what the demands lack, a sentence for people about each.
func (d Demands) Missing(e Evidence) []string {
	var missing []string
	if len(d.Provenance) > 0 && !e.isBuiltBy(d.Provenance) {
		missing = append(missing, fmt.Sprintf("no provenance says that %s built it", names(d.Provenance)))
	}
	if r := d.Rebuilds; r != nil {
		want := max(r.Threshold, 1)
		if have := e.rebuilders(r.Keys); have < want {
			missing = append(missing, fmt.Sprintf("%d of %d independent rebuilds attest its root hash", have, want))
		}
	}
	if r := d.Rehearsal; r != nil {
		if why := e.unrehearsed(*r); why != "" {
			missing = append(missing, why)
		}
	}
	if v := d.Vulnerabilities; v != nil {
		if why := e.scanned(*v); why != "" {
			missing = append(missing, why)
		}
	}
	return missing
}
