package demands

import (
	"fmt"
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

// unrehearsed is why the rehearsals of a release are not what is wanted; empty if one
// is. It must have all scenes: one of fewer says little of a power cut.
func (e Evidence) unrehearsed(wanted Rehearsal) string {
	why := "no rehearsal of it is attested"
	found, whole := false, false
	e.signed(wanted.Keys, func(statement []byte, _ []signing.PublicKey) {
		about, r, err := manifests.ParseRehearsal(statement)
		if err != nil || about != e.Digest {
			return
		}
		for _, from := range r.From {
			if wanted.FromRunning && !e.Running.is(from) {
				continue
			}
			lacks := from.Lacks()
			found, whole = true, whole || len(lacks) == 0
			why = fmt.Sprintf("its rehearsal from %s lacks the scene %s", from.Version, strings.Join(lacks, ", "))
		}
		if !found {
			why = fmt.Sprintf("it was not rehearsed from %s, which runs here", e.Running.Version)
		}
	})
	if whole {
		return ""
	}
	return why
}

// is goes by the version where the host does not know the digest.
func (r Running) is(from manifests.RehearsedFrom) bool {
	if r.Release.IsZero() {
		return from.Version == r.Version
	}
	return from.Release == r.Release
}
