package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/proa-os/proa/manifests"
)

// RetractConfig is what Retract needs.
type RetractConfig struct {
	Config
	Version manifests.Version // required
	Product string            // empty: the only one that has the version
	Arch    manifests.Arch    // empty: the only one that has the version
	// Reason is shown on hosts. Required, unless Lift is set.
	Reason string
	// Lift takes a retraction back.
	Lift bool
	// Instead is where channels that point to the release point from now on; empty
	// leaves them, and their hosts where they are. Optional.
	Instead manifests.Version
}

// Retracted is what became of it.
type Retracted struct {
	Product string            `json:"product"`
	Arch    manifests.Arch    `json:"arch"`
	Version manifests.Version `json:"version"`
	Release manifests.Digest  `json:"release"`
	// Retraction is what hosts are told; nil when it was lifted.
	Retraction *manifests.Retraction `json:"retraction,omitempty"`
	Channels   []string              `json:"channels"`   // that point to it, sorted
	Moved      []string              `json:"moved"`      // channels that pointed to it, sorted
	RequiredBy []manifests.Version   `json:"requiredBy"` // releases that hosts reach over it, newest first
	Changed    bool                  `json:"changed"`
}

// Retract forbids hosts that have not taken a release to take it, and tells them
// why. The release stays in the repository for those that run it, who are told, too.
// Nothing of it needs to be whole.
func Retract(ctx context.Context, cfg RetractConfig) (Retracted, error) {
	if !cfg.Lift {
		if err := manifests.CheckReason(cfg.Reason); err != nil {
			return Retracted{}, err
		}
	}
	r, unlock, err := open(cfg.Config)
	if err != nil {
		return Retracted{}, err
	}
	defer unlock()
	found, err := r.find(PromoteConfig{Version: cfg.Version, Product: cfg.Product, Arch: cfg.Arch})
	if err != nil {
		return Retracted{}, err
	}
	notice, err := r.notice(found)
	if err != nil {
		return Retracted{}, err
	}
	switch {
	case cfg.Lift:
		notice.Retracted = nil
	case notice.Retracted == nil:
		notice.Retracted = &manifests.Retraction{When: r.Now().UTC().Truncate(time.Second), Reason: cfg.Reason}
	default: // since when does not change
		notice.Retracted = &manifests.Retraction{When: notice.Retracted.When, Reason: cfg.Reason}
	}
	targets := map[string][]byte{}
	if err := r.setNotice(targets, notice); err != nil {
		return Retracted{}, err
	}
	result := Retracted{
		Product: found.product, Arch: found.arch, Version: found.version, Release: found.digest,
		Retraction: notice.Retracted, Channels: []string{}, Moved: []string{}, RequiredBy: []manifests.Version{},
	}
	pointing, err := r.pointingTo(found)
	if err != nil {
		return Retracted{}, err
	}
	if cfg.Instead != "" && !cfg.Lift {
		if err := r.moveInstead(ctx, targets, found, pointing, cfg.Instead); err != nil {
			return Retracted{}, err
		}
		result.Moved = append(result.Moved, pointing...)
	} else {
		result.Channels = append(result.Channels, pointing...)
	}
	if result.RequiredBy, err = r.requiredBy(found); err != nil {
		return Retracted{}, err
	}
	result.Changed, err = r.update(ctx, targets)
	return result, err
}

// pointingTo is the names of the channels that point to a release.
func (r *repository) pointingTo(l listed) ([]string, error) {
	channels, err := r.channels()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range channels {
		if c.Release == l.digest {
			names = append(names, c.Name)
		}
	}
	return names, nil
}

// moveInstead adds to targets the channels that pointed to what is retracted.
func (r *repository) moveInstead(ctx context.Context, targets map[string][]byte, from listed, channels []string, version manifests.Version) error {
	to, err := r.find(PromoteConfig{Version: version, Product: from.product, Arch: from.arch})
	if err != nil {
		return err
	}
	if to.digest == from.digest {
		return fmt.Errorf("channels cannot point to %s instead of itself", version)
	}
	notice, err := r.notice(to)
	if err != nil {
		return err
	}
	if err := mayOffer(notice); err != nil {
		return err
	}
	release, err := r.release(to)
	if err != nil {
		return err
	}
	if _, complete := r.published(ctx, release, to.digest); !complete {
		return incomplete(to)
	}
	for _, name := range channels {
		if targets[manifests.ChannelTarget(to.product, to.arch, name)], err = channelText(to, name); err != nil {
			return err
		}
	}
	return nil
}

// incomplete is the error of a release that no channel may point to.
func incomplete(l listed) error {
	return fmt.Errorf("the artifacts of %s %s are missing or damaged, publish it again: %w", l.product, l.version, ErrBroken)
}
