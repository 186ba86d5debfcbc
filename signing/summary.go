package signing

import (
	"fmt"
	"slices"
	"time"

	"github.com/proa-os/proa/manifests"
)

// RootSummary is what a root says, and what it still lacks.
type RootSummary struct {
	Version int64            `json:"version"`
	Expires time.Time        `json:"expires"`
	Digest  manifests.Digest `json:"digest"` // of what is signed
	// Replaces is RootChange.Replaces.
	Replaces manifests.Digest `json:"replaces,omitzero"`
	Roles    []RoleKeys       `json:"roles"`
	Changes  []string         `json:"changes"` // from the root before, for people; empty if that is not known
	Demands  []RootDemand     `json:"demands"`
}

// RoleKeys are the keys of one role.
type RoleKeys struct {
	Role      Role     `json:"role"`
	Threshold int      `json:"threshold"`
	Keys      []string `json:"keys"` // ids
}

// Summary says what the draft says. Whoever signs reads it first.
func (d *RootDraft) Summary() (RootSummary, error) {
	digest, err := d.Digest()
	if err != nil {
		return RootSummary{}, err
	}
	former, err := replaced(&d.root.Signed)
	if err != nil {
		return RootSummary{}, err
	}
	s := RootSummary{d.Version(), d.root.Signed.Expires, digest, former, nil, d.changes(), d.Demands()}
	for _, role := range Roles() {
		r := d.root.Signed.Roles[string(role)]
		s.Roles = append(s.Roles, RoleKeys{role, r.Threshold, r.KeyIDs})
	}
	return s, nil
}

// changes are the differences from the root before, one line each.
func (d *RootDraft) changes() []string {
	changes := []string{}
	if d.before == nil {
		return changes
	}
	for _, role := range Roles() {
		old, new := d.before.Signed.Roles[string(role)], d.root.Signed.Roles[string(role)]
		for _, id := range old.KeyIDs {
			if !slices.Contains(new.KeyIDs, id) {
				changes = append(changes, fmt.Sprintf("%s loses key %s", role, id))
			}
		}
		for _, id := range new.KeyIDs {
			if !slices.Contains(old.KeyIDs, id) {
				changes = append(changes, fmt.Sprintf("%s gets key %s", role, id))
			}
		}
		if old.Threshold != new.Threshold {
			changes = append(changes, fmt.Sprintf("%s needs %d signatures, not %d", role, new.Threshold, old.Threshold))
		}
	}
	if was, is := d.before.Signed.Expires, d.root.Signed.Expires; !was.Equal(is) {
		changes = append(changes, fmt.Sprintf("expires %s, not %s", is.Format(time.RFC3339), was.Format(time.RFC3339)))
	}
	return changes
}
