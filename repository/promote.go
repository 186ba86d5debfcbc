package repository

import (
	"context"
	"fmt"

	"github.com/proa-os/proa/manifests"
)

// PromoteConfig is what Promote needs.
type PromoteConfig struct {
	Config
	Version        manifests.Version // required
	To             string            // the channel; required
	Product        string            // empty: the only one that has the version
	Arch           manifests.Arch    // empty: the only one that has the version
	AllowDowngrade bool              // let the channel go to an older version
	// Demand is asked before anything changes, while nobody else can change the
	// repository; its error is Promote's. Optional.
	Demand func(Promotion) error
}

// Promotion is a channel that is about to be moved.
type Promotion struct {
	Product string
	Arch    manifests.Arch
	Version manifests.Version
	Release manifests.Digest  // of its release.json
	Now     manifests.Channel // what the channel is now; zero for a new one
	// Attached are the envelopes that are attached to the release. Nobody has verified
	// their signatures.
	Attached [][]byte
}

// Promote moves a channel to a release that is published, and changes nothing of the
// release. What it refuses is what Publish refuses of a channel.
func Promote(ctx context.Context, cfg PromoteConfig) (Published, error) {
	if err := manifests.CheckName("channel", cfg.To); err != nil {
		return Published{}, err
	}
	r, unlock, err := open(cfg.Config)
	if err != nil {
		return Published{}, err
	}
	defer unlock()
	found, err := r.find(cfg)
	if err != nil {
		return Published{}, err
	}
	release, err := r.release(found)
	if err != nil {
		return Published{}, err
	}
	transport, complete := r.published(ctx, release, found.digest)
	if !complete {
		return Published{}, incomplete(found)
	}
	notice, err := r.notice(found)
	if err != nil {
		return Published{}, err
	}
	if err := r.ask(cfg, found, release); err != nil {
		return Published{}, err
	}
	targets := map[string][]byte{}
	if err := r.moveChannel(targets, found, release, notice, cfg.To, cfg.AllowDowngrade); err != nil {
		return Published{}, err
	}
	changed, err := r.update(ctx, targets)
	return Published{
		Product: found.product,
		Arch:    found.arch,
		Version: found.version,
		Release: found.digest,
		Channel: cfg.To,
		Root:    transport.Root,
		Deltas:  deltaEntries(transport),
		LeftOut: []LeftOut{},
		Changed: changed,
	}, err
}

// ask asks what is demanded of the promotion.
func (r *repository) ask(cfg PromoteConfig, to listed, release manifests.Release) error {
	if cfg.Demand == nil {
		return nil
	}
	now, _, err := r.channel(manifests.ChannelTarget(to.product, to.arch, cfg.To))
	if err != nil {
		return err
	}
	all, err := r.attestations(to, release)
	if err != nil {
		return err
	}
	p := Promotion{Product: to.product, Arch: to.arch, Version: to.version, Release: to.digest, Now: now}
	for _, a := range all {
		p.Attached = append(p.Attached, a.envelope)
	}
	return cfg.Demand(p)
}

func (r *repository) find(cfg PromoteConfig) (listed, error) {
	var found []listed
	for _, l := range r.releases() {
		if l.version == cfg.Version && (cfg.Product == "" || l.product == cfg.Product) && (cfg.Arch == "" || l.arch == cfg.Arch) {
			found = append(found, l)
		}
	}
	switch len(found) {
	case 0:
		return listed{}, fmt.Errorf("version %s: %w", cfg.Version, ErrNoRelease)
	case 1:
		return found[0], nil
	}
	return listed{}, fmt.Errorf("version %s is of %s %s and of %s %s: %w",
		cfg.Version, found[0].product, found[0].arch, found[1].product, found[1].arch, ErrAmbiguous)
}

// moveChannel adds to targets the channel's content once it points to the release.
func (r *repository) moveChannel(targets map[string][]byte, to listed, release manifests.Release, notice manifests.Notice, channel string, downgrade bool) error {
	if err := mayOffer(notice); err != nil {
		return err
	}
	name := manifests.ChannelTarget(to.product, to.arch, channel)
	current, exists, err := r.channel(name)
	if err != nil {
		return err
	}
	if exists && !downgrade && current.Release != to.digest {
		from := listed{current.Product, current.Arch, current.Version, current.Release}
		if err := r.mayFollow(from, release, channel); err != nil {
			return err
		}
	}
	targets[name], err = channelText(to, channel)
	return err
}

// mayFollow refuses what hosts that run the channel's release would refuse. They refuse
// the way back from one that is retracted, too: it is there for those that have not
// taken it.
func (r *repository) mayFollow(from listed, release manifests.Release, channel string) error {
	notice, err := r.notice(from)
	if err != nil {
		return err
	}
	if release.Version.Compare(from.version) < 0 {
		if notice.Retracted != nil {
			return nil
		}
		return fmt.Errorf("channel %s is at %s, and %s is older: %w", channel, from.version, release.Version, ErrDowngrade)
	}
	content, err := r.release(from)
	if isUnusable(err) {
		return nil // what is damaged is no reason to stay with it
	}
	if err == nil && release.SecurityEpoch < content.SecurityEpoch {
		err = fmt.Errorf("channel %s is at %s with security epoch %d, and %s has %d: %w",
			channel, from.version, content.SecurityEpoch, release.Version, release.SecurityEpoch, ErrLowerEpoch)
	}
	return err
}

// channelText is the content of a channel that points to a release.
func channelText(to listed, channel string) ([]byte, error) {
	return document(manifests.Channel{
		Schema:  1,
		Product: to.product,
		Arch:    to.arch,
		Name:    channel,
		Version: to.version,
		Release: to.digest,
	})
}
