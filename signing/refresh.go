package signing

import (
	"context"
	"errors"
	"fmt"
	"time"

	tuf "github.com/theupdateframework/go-tuf/v2/metadata"
)

// Refresh fetches and verifies the newest metadata and persists it. On an
// error nothing in Dir has changed, except that newer roots, once verified,
// are kept: a revoked key must stay revoked.
func (c *Client) Refresh(ctx context.Context) error {
	seen, err := c.store.seen()
	if err != nil {
		return fmt.Errorf("reading the newest time seen: %w", err)
	}
	if seen.Before(c.early) {
		seen = c.early
	}
	now := c.now().UTC()
	if now.Before(seen.Add(-clockTolerance)) {
		return fmt.Errorf("%w: it is %s here, and was %s", ErrClockBehind, now.Format(time.RFC3339), seen.Format(time.RFC3339))
	}
	at := now
	if at.Before(seen) {
		at = seen
	}
	v, err := newVerifier(c.start, at)
	if err != nil {
		return err
	}
	if err := c.refreshRoot(ctx, v); err != nil {
		return err
	}
	for _, step := range []func(context.Context, *verifier) error{c.refreshTimestamp, c.refreshSnapshot, c.refreshTargets} {
		if err := step(ctx, v); err != nil {
			return err
		}
	}
	for _, role := range []Role{RoleTimestamp, RoleSnapshot, RoleTargets} {
		if err := c.store.save(role, v.raw[role]); err != nil {
			return fmt.Errorf("persisting %s: %w", role, err)
		}
	}
	if err := c.sweepBins(v); err != nil {
		return fmt.Errorf("removing bins of earlier times: %w", err)
	}
	// A refresh every few minutes need not write every time.
	if at.Sub(seen) > clockTolerance/2 {
		if err := c.store.saveSeen(at); err != nil {
			return fmt.Errorf("persisting the newest time seen: %w", err)
		}
	}
	c.trusted = v
	return nil
}

func (c *Client) refreshRoot(ctx context.Context, v *verifier) error {
	walkErr := c.walkRoots(ctx, v)
	if err := c.store.save(RoleRoot, v.raw[RoleRoot]); err != nil {
		return fmt.Errorf("persisting root: %w", err)
	}
	c.start = v.raw[RoleRoot]
	return walkErr
}

// walkRoots goes from version to version to the newest root there is.
func (c *Client) walkRoots(ctx context.Context, v *verifier) error {
	baked, err := versionOf(c.baked)
	if err != nil {
		return err
	}
	for taken := 0; ; taken++ {
		next := v.rootVersion() + 1
		data := c.baked
		if next != baked {
			data, err = c.fetcher.get(ctx, fmt.Sprintf("metadata/%d.root.json", next), c.limits.Root)
		}
		if errors.Is(err, errNoFile) {
			if next < baked {
				return fmt.Errorf("no root %d between the trusted %d and the baked-in %d: %w", next, next-1, baked, ErrRootChain)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if taken == c.limits.Roots {
			return fmt.Errorf("%w: over %d new roots in one refresh", ErrTooLarge, c.limits.Roots)
		}
		if err := v.root(data); err != nil {
			return fmt.Errorf("root %d: %w", next, err)
		}
	}
}

func (c *Client) refreshTimestamp(ctx context.Context, v *verifier) error {
	local, err := c.store.load(RoleTimestamp)
	if err != nil {
		return fmt.Errorf("reading trusted timestamp: %w", err)
	}
	if local != nil {
		// Only for protection against going back: it may have expired, and one
		// that new keys do not vouch for any more has no say.
		v.timestamp(local)
	}
	data, err := c.fetcher.get(ctx, "metadata/timestamp.json", c.limits.Timestamp)
	if err != nil {
		return err
	}
	_, err = v.timestamp(data)
	return err
}

func (c *Client) refreshSnapshot(ctx context.Context, v *verifier) error {
	want, err := v.wantSnapshot()
	if err != nil {
		return err
	}
	local, err := c.store.load(RoleSnapshot)
	if err != nil {
		return fmt.Errorf("reading trusted snapshot: %w", err)
	}
	if local != nil {
		if isWanted(want, local) && v.snapshot(local) == nil {
			return nil
		}
		v.olderSnapshot(local)
	}
	data, err := c.getExact(ctx, RoleSnapshot, want, c.limits.Snapshot)
	if err != nil {
		return err
	}
	return v.snapshot(data)
}

func (c *Client) refreshTargets(ctx context.Context, v *verifier) error {
	want, err := v.wantTargets()
	if err != nil {
		return err
	}
	return c.takeCurrent(ctx, RoleTargets, want, c.limits.Targets, v.targets)
}

// takeCurrent takes targets metadata as it is stored, or fetches it.
func (c *Client) takeCurrent(ctx context.Context, role Role, want *tuf.MetaFiles, most int64, take func([]byte) error) error {
	local, err := c.store.load(role)
	if err != nil {
		return fmt.Errorf("reading trusted %s: %w", role, err)
	}
	if local != nil && isWanted(want, local) && take(local) == nil {
		return nil
	}
	data, err := c.getExact(ctx, role, want, most)
	if err != nil {
		return err
	}
	return take(data)
}

// isWanted reports whether what is trusted already is what the role above names.
func isWanted(want *tuf.MetaFiles, local []byte) bool {
	version, err := versionOf(local)
	return err == nil && version == want.Version && want.VerifyLengthHashes(local) == nil
}

func (c *Client) getExact(ctx context.Context, role Role, want *tuf.MetaFiles, most int64) ([]byte, error) {
	if want.Length > most {
		return nil, fmt.Errorf("%s metadata of %d bytes: %w: %d", role, want.Length, ErrTooLarge, most)
	}
	if want.Length > 0 {
		most = want.Length
	}
	return c.fetcher.get(ctx, fmt.Sprintf("metadata/%d.%s.json", want.Version, role), most)
}
