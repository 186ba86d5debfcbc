package demands

import (
	"slices"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

func names(builders []Builder) string {
	var ids []string
	for _, b := range builders {
		if !slices.Contains(ids, b.ID) {
			ids = append(ids, b.ID)
		}
	}
	return strings.Join(ids, " or ")
}

// signed calls visit with each statement that one of the keys has signed, and with
// those of them that have. Nothing is parsed that none has signed.
func (e Evidence) signed(keys []signing.PublicKey, visit func(statement []byte, by []signing.PublicKey)) {
	for _, envelope := range e.Envelopes {
		if statement, by, err := signing.OpenSealedBy(envelope, signing.PayloadInToto, keys...); err == nil {
			visit(statement, by)
		}
	}
}

func (e Evidence) isBuiltBy(builders []Builder) bool {
	found := false
	for _, b := range builders {
		e.signed([]signing.PublicKey{b.Key}, func(statement []byte, _ []signing.PublicKey) {
			p, err := manifests.ParseProvenance(statement)
			found = found || err == nil && p.Builder == b.ID && p.CheckFor(e.Release) == nil
		})
	}
	return found
}

// rebuilders is how many of the keys have signed a rebuild of this release, in however
// many envelopes.
func (e Evidence) rebuilders(keys []signing.PublicKey) int {
	have := map[string]bool{}
	e.signed(keys, func(statement []byte, by []signing.PublicKey) {
		about, r, err := manifests.ParseRebuild(statement)
		if err != nil || about != e.Digest || r.CheckFor(e.Release) != nil {
			return
		}
		for _, key := range by {
			have[key.ID()] = true
		}
	})
	return len(have)
}

// rehearsed tells whether there is a rehearsal of this release, and whether there is
// one from what the host runs. A host that does not know the digest of that goes by
// its version.
func (e Evidence) rehearsed(keys []signing.PublicKey) (found, fromRunning bool) {
	e.signed(keys, func(statement []byte, _ []signing.PublicKey) {
		about, r, err := manifests.ParseRehearsal(statement)
		if err != nil || about != e.Digest {
			return
		}
		found = true
		fromRunning = fromRunning || slices.ContainsFunc(r.From, func(from manifests.RehearsedFrom) bool {
			if e.Running.Release.IsZero() {
				return from.Version == e.Running.Version
			}
			return from.Release == e.Running.Release
		})
	})
	return found, fromRunning
}
