package repository

import (
	"context"
	"time"

	"github.com/proa-os/proa/signing"
)

// Refreshed is what Refresh did.
type Refreshed struct {
	Renewed  []signing.Role `json:"renewed"`  // signed anew
	Due      []signing.Role `json:"due"`      // should be, and the keys are not at hand
	Metadata []Metadata     `json:"metadata"` // of each role
}

// Refresh signs a new timestamp, and whatever else has less than a third of its
// lifetime left. A role whose keys are not at hand is left as it is, and named
// in Due; only the timestamp's key is required.
func Refresh(ctx context.Context, cfg Config) (Refreshed, error) {
	r, unlock, err := open(cfg)
	if err != nil {
		return Refreshed{}, err
	}
	defer unlock()
	result := Refreshed{Due: []signing.Role{}, Renewed: []signing.Role{}}
	lifetimes := signing.DefaultLifetimes()
	for role, life := range r.Lifetimes {
		lifetimes[role] = life
	}
	for _, role := range []signing.Role{signing.RoleRoot, signing.RoleTargets, signing.RoleSnapshot} {
		if r.meta.Expires(role).Sub(r.Now()) > lifetimes[role]/3 {
			continue
		}
		if !r.canRenew(role) {
			result.Due = append(result.Due, role)
			continue
		}
		r.meta.Renew(role)
		result.Renewed = append(result.Renewed, role)
	}
	if err := r.commit(ctx, nil); err != nil {
		return Refreshed{}, err
	}
	result.Renewed = append(result.Renewed, signing.RoleTimestamp)
	for _, role := range signing.Roles() {
		result.Metadata = append(result.Metadata, Metadata{role, r.meta.Version(role), r.meta.Expires(role).Truncate(time.Second)})
	}
	return result, nil
}

// canRenew asks for the keys of role and of the role that must follow it.
func (r *repository) canRenew(role signing.Role) bool {
	if role == signing.RoleTargets && r.meta.CanSign(signing.RoleSnapshot, r.Keys) != nil {
		return false
	}
	return r.meta.CanSign(role, r.Keys) == nil
}
