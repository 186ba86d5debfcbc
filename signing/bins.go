package signing

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	tuf "github.com/theupdateframework/go-tuf/v2/metadata"
)

// A bin is a part of the targets metadata, as a role of its own: each target that
// targets.json does not list itself is in the one bin that the SHA-256 of its name
// says, or nowhere. In TUF's words bins are delegated targets roles, described in
// short form (succinct_roles, TAP 15).

// binsOf is how targets metadata delegates to bins, nil if it does not.
func binsOf(targets *tuf.TargetsType) *tuf.SuccinctRoles {
	if targets.Delegations == nil {
		return nil
	}
	return targets.Delegations.SuccinctRoles
}

// binOf is the bin for a target's name.
func binOf(bins *tuf.SuccinctRoles, name string) Role {
	return Role(bins.GetRolesForTarget(name)[0].Name)
}

// allBins are the bins in their order, as long as somebody wants more: there may be
// 2 to the power of 32.
func allBins(bins *tuf.SuccinctRoles) iter.Seq[Role] {
	return func(yield func(Role) bool) {
		digits, count := bins.GetSuffixLen()
		for n := range count {
			if !yield(Role(fmt.Sprintf("%s-%0*x", bins.NamePrefix, digits, n))) {
				return
			}
		}
	}
}

// checkDelegations demands of targets metadata that its bins, if it has some, are
// vouched for as a root vouches for a role.
func checkDelegations(targets *tuf.TargetsType) error {
	bins := binsOf(targets)
	switch {
	case bins == nil:
		return nil
	case targets.Delegations.Roles != nil:
		return fmt.Errorf("it delegates by roles and by succinct_roles: want one of both")
	case !isBinPrefix(bins.NamePrefix):
		return fmt.Errorf("name_prefix %.40q: want 1 to 64 of A-Z a-z 0-9 _ -", bins.NamePrefix)
	}
	known, err := checkKeys(targets.Delegations.Keys)
	if err != nil {
		return err
	}
	return checkSigners(bins.NamePrefix, bins.KeyIDs, bins.Threshold, known)
}

// isBinPrefix allows what is plain in the name of a file.
func isBinPrefix(prefix string) bool {
	return prefix != "" && len(prefix) <= 64 && !strings.ContainsFunc(prefix, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && r != '_' && r != '-'
	})
}

// checkBin demands that a bin lists nothing but its own targets: what another bin
// would have to list would be found by some and not by others.
func checkBin(bins *tuf.SuccinctRoles, role Role, bin *tuf.TargetsType) error {
	if bin.Delegations != nil {
		return fmt.Errorf("%s metadata: %w: it delegates further", role, ErrMalformed)
	}
	for _, name := range slices.Sorted(maps.Keys(bin.Targets)) {
		if own := binOf(bins, name); own != role {
			return fmt.Errorf("%s metadata: %w: it lists %.200q, which belongs into %s", role, ErrMalformed, name, own)
		}
	}
	return nil
}

// wantBin is what the snapshot says of a bin, its digest included: nothing in an empty
// bin says which one it is, and without a digest it could stand for another.
func (v *verifier) wantBin(role Role) (*tuf.MetaFiles, error) {
	want, err := metaOf(RoleSnapshot, v.set.Snapshot.Signed.Meta, role)
	if err == nil && len(want.Hashes["sha256"]) != sha256.Size {
		err = fmt.Errorf("%s metadata: no sha256 of %s.json: %w", RoleSnapshot, role, ErrMalformed)
	}
	return want, err
}

// bins is how the targets metadata that was taken delegates to bins, or nil.
func (v *verifier) bins() *tuf.SuccinctRoles { return binsOf(&v.set.Targets[tuf.TARGETS].Signed) }

// bin takes a bin that the snapshot names.
func (v *verifier) bin(role Role, data []byte) error {
	want, err := v.wantBin(role)
	if err != nil {
		return err
	}
	if err := checkNamed(role, want, data); err != nil {
		return err
	}
	bin, err := v.set.UpdateDelegatedTargets(data, string(role), tuf.TARGETS)
	if err != nil {
		return v.describe(role, data, err)
	}
	err = v.checkSignersOf(role, bin, data)
	if err == nil {
		err = checkBin(v.bins(), role, &bin.Signed)
	}
	if err != nil {
		delete(v.set.Targets, string(role))
		return err
	}
	v.raw[role] = data
	return nil
}

// checkSignersOf demands of a bin what the root demands of targets.json. The delegation
// may be older than the root, and name a key that was taken away since.
func (v *verifier) checkSignersOf(role Role, bin *tuf.Metadata[tuf.TargetsType], data []byte) error {
	if v.set.Root.VerifyDelegate(tuf.TARGETS, bin) == nil {
		return nil
	}
	return fmt.Errorf("%s metadata: %w: the targets keys of root %d: %s", role, ErrSignature, v.rootVersion(), whyUnsigned(v.set.Root, RoleTargets, data))
}

// allBins takes every bin, as read gives it.
func (v *verifier) allBins(read func(role Role, want *tuf.MetaFiles) ([]byte, error)) error {
	if v.bins() == nil {
		return nil
	}
	for role := range allBins(v.bins()) {
		want, err := v.wantBin(role)
		if err != nil {
			return err
		}
		data, err := read(role, want)
		if err != nil {
			return err
		}
		if err := v.bin(role, data); err != nil {
			return err
		}
	}
	return nil
}

// find is what the metadata says of a target: targets.json, then the bin of its name,
// which is fetched if need be. That a target is not there is believed of a verified bin
// alone.
func (c *Client) find(ctx context.Context, target string) (*tuf.TargetFiles, error) {
	top := &c.trusted.set.Targets[tuf.TARGETS].Signed
	if info := top.Targets[target]; info != nil {
		return info, nil
	}
	bins := c.trusted.bins()
	if bins == nil {
		return nil, fmt.Errorf("target %s: %w%s", target, ErrNotFound, delegatesTo(top))
	}
	role := binOf(bins, target)
	bin, err := c.bin(ctx, role)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", target, err)
	}
	if info := bin.Targets[target]; info != nil {
		return info, nil
	}
	return nil, fmt.Errorf("target %s: %w (%s does not list it)", target, ErrNotFound, role)
}

// bin is a bin of the snapshot that is trusted: as it was taken before, as it is
// stored, or fetched and then stored.
func (c *Client) bin(ctx context.Context, role Role) (*tuf.TargetsType, error) {
	v := c.trusted
	if taken := v.set.Targets[string(role)]; taken != nil {
		return &taken.Signed, nil
	}
	want, err := v.wantBin(role)
	if err != nil {
		return nil, err
	}
	take := func(data []byte) error { return v.bin(role, data) }
	if err := c.takeCurrent(ctx, role, want, c.limits.Bin, take); err != nil {
		return nil, err
	}
	if err := c.store.save(role, v.raw[role]); err != nil {
		return nil, fmt.Errorf("persisting %s: %w", role, err)
	}
	return &v.set.Targets[string(role)].Signed, nil
}

// sweepBins removes stored bins that are not those of the trusted snapshot.
func (c *Client) sweepBins(v *verifier) error {
	stored, err := c.store.bins()
	if err != nil {
		return err
	}
	for _, role := range stored {
		if bins := v.bins(); bins != nil && bins.IsDelegatedRole(string(role)) {
			want, err := v.wantBin(role)
			local, errLocal := c.store.load(role)
			if err == nil && errLocal == nil && isWanted(want, local) {
				continue
			}
		}
		if err := c.store.remove(role); err != nil {
			return err
		}
	}
	return nil
}

// Targets are the names of all targets, sorted: all bins are fetched for it.
// Refresh must have succeeded before.
func (c *Client) Targets(ctx context.Context) ([]string, error) {
	if c.trusted == nil {
		return nil, errors.New("targets: metadata has not been refreshed")
	}
	names := slices.Collect(maps.Keys(c.trusted.set.Targets[tuf.TARGETS].Signed.Targets))
	if bins := c.trusted.bins(); bins != nil {
		for role := range allBins(bins) {
			bin, err := c.bin(ctx, role) // one that the snapshot does not name is an error: there are no more than it has
			if err != nil {
				return nil, err
			}
			names = slices.AppendSeq(names, maps.Keys(bin.Targets))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
