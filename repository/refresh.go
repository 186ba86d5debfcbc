package repository

import (
	"context"
	"maps"
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
	var result Refreshed
	result.Renewed, result.Due = r.renew(signing.RoleRoot, signing.RoleTargets, signing.RoleSnapshot)
	if err := r.commit(ctx, nil); err != nil {
		return Refreshed{}, err
	}
	result.Renewed = append(result.Renewed, signing.RoleTimestamp)
	result.Metadata = r.state()
	return result, nil
}

// renew has each of the roles signed anew that has less than a third of its
// lifetime left. Those whose keys are not at hand are due.
func (r *repository) renew(roles ...signing.Role) (renewed, due []signing.Role) {
	renewed, due = []signing.Role{}, []signing.Role{}
	lifetimes := signing.DefaultLifetimes()
	maps.Copy(lifetimes, r.Lifetimes)
	for _, role := range roles {
		by := r.Now().Add(lifetimes[role] / 3)
		if r.meta.Expires(role).After(by) {
			continue
		}
		if !r.canRenew(role) {
			due = append(due, role)
			continue
		}
		r.meta.Renew(role, by)
		renewed = append(renewed, role)
	}
	return renewed, due
}

// state is the metadata of each role.
func (r *repository) state() []Metadata {
	var state []Metadata
	for _, role := range signing.Roles() {
		state = append(state, Metadata{role, r.meta.Version(role), r.meta.Expires(role).Truncate(time.Second)})
	}
	return state
}

// canRenew asks for the keys of role and of the role that must follow it.
func (r *repository) canRenew(role signing.Role) bool {
	if role == signing.RoleTargets && r.meta.CanSign(signing.RoleSnapshot, r.Keys) != nil {
		return false
	}
	return r.meta.CanSign(role, r.Keys) == nil
}
