package updater

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

// offer is what the channel names, out of verified metadata only.
type offer struct {
	Digest    manifests.Digest // of the release.json
	Release   manifests.Release
	Transport manifests.Transport
	Root      verity.Root

	told Told
}

// download is the bytes to fetch at the most, by the delta from what runs, if
// there is one: what this host has already is known to Plan alone.
func (o offer) download(running []byte) int64 {
	for _, d := range o.Transport.Deltas {
		if sameRoot(d.Base, running) {
			return o.Transport.UKI.Size + d.Size
		}
	}
	return o.Transport.UKI.Size + o.Transport.Index.Size + o.Transport.Root.Size
}

// resolve refreshes the trusted metadata and follows the channel to a release, or to a
// stepping stone on the way to it.
func (s *session) resolve(ctx context.Context) (offer, error) {
	client, err := s.openRepository()
	if err != nil {
		return offer{}, err
	}
	if err := client.Refresh(ctx); err != nil {
		return offer{}, trustError(ctx, err)
	}
	image := s.facts.Image
	get := func(target string) ([]byte, error) { return fetchTarget(ctx, client, target) }
	data, err := get(manifests.ChannelTarget(image.Product, image.Arch, s.Settings.Channel))
	if err != nil {
		return offer{}, err
	}
	channel, err := manifests.ParseChannel(data)
	if err != nil {
		return offer{}, refuse("", "%v", err)
	}
	if channel.Product != image.Product || channel.Arch != image.Arch || channel.Name != s.Settings.Channel {
		return offer{}, refuse(channel.Version, "its channel is %s of %s for %s: want %s of %s for %s",
			channel.Name, channel.Product, channel.Arch, s.Settings.Channel, image.Product, image.Arch)
	}
	next, told, err := s.nextStop(ctx, client, channel)
	if err != nil {
		return offer{}, err
	}
	o, err := s.readRelease(next, get)
	if o.told = told; err != nil {
		return o, err
	}
	return o, s.judgeEvidence(ctx, client, &o)
}

// fetchTarget gets a document that the repository vouches for.
func fetchTarget(ctx context.Context, client *signing.Client, target string) ([]byte, error) {
	verified, err := client.Fetch(ctx, target)
	if errors.Is(err, signing.ErrNotFound) {
		return nil, refuse("", "%v", err)
	}
	return verified.Bytes(), trustError(ctx, err)
}

// readRelease reads all that is to be known of the release that a channel names.
func (s *session) readRelease(channel manifests.Channel, get func(string) ([]byte, error)) (offer, error) {
	v := channel.Version
	data, err := get(manifests.ReleaseTarget(channel.Product, channel.Arch, v))
	if err != nil {
		return offer{}, err
	}
	o := offer{Digest: manifests.DigestOf(data)}
	if o.Digest != channel.Release {
		return offer{}, refuse(v, "release.json is %s: the channel names %s", o.Digest, channel.Release)
	}
	if o.Release, err = manifests.ParseRelease(data); err != nil {
		return offer{}, refuse(v, "%v", err)
	}
	if data, err = get(manifests.TransportTarget(channel.Product, channel.Arch, v)); err != nil {
		return offer{}, err
	}
	if o.Transport, err = manifests.ParseTransport(data); err != nil {
		return offer{}, refuse(v, "%v", err)
	}
	if err := o.Transport.CheckAgainst(o.Release, o.Digest); err != nil {
		return offer{}, refuse(v, "%v", err)
	}
	o.Root = verity.Root{Hash: [32]byte(o.Release.Root.Hash), Salt: o.Release.Root.Salt, Blocks: o.Release.Root.Blocks}
	return o, s.checkIdentity(o, v)
}

// checkIdentity refuses a release of another product or machine, or another
// version than the channel names.
func (s *session) checkIdentity(o offer, v manifests.Version) error {
	image, r := s.facts.Image, o.Release
	switch {
	case r.Product != image.Product:
		return refuse(v, "it is of product %s: this host runs %s", r.Product, image.Product)
	case r.Arch != image.Arch:
		return refuse(v, "it is for %s: this host is %s", r.Arch, image.Arch)
	case r.Version != v:
		return refuse(v, "its release.json has version %s", r.Version)
	}
	return nil
}

func (s *session) openRepository() (*signing.Client, error) {
	root, err := regular.Read(s.host.TrustRoot, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("trust root: %w", err)
	}
	if err := os.MkdirAll(s.host.State, 0o700); err != nil {
		return nil, err
	}
	return signing.OpenClient(signing.Config{
		URL:      s.Settings.Repository,
		Dir:      filepath.Join(s.host.State, "metadata"),
		Root:     root,
		HTTP:     s.fetch.HTTP(),
		Now:      s.Now,
		Earliest: time.Unix(s.facts.Image.Epoch, 0),
	})
}

// trustError sorts what signing reports: what may be otherwise at the next
// attempt, and what is not trusted.
func trustError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case errors.Is(err, signing.ErrUnavailable), errors.Is(err, signing.ErrTooSlow):
		return &NetworkError{err}
	}
	for _, known := range []error{
		signing.ErrSignature, signing.ErrExpired, signing.ErrRollback, signing.ErrMismatch, signing.ErrMalformed,
		signing.ErrRootChain, signing.ErrTooLarge, signing.ErrNotFound, signing.ErrClockBehind,
	} {
		if errors.Is(err, known) {
			return &UntrustedError{err}
		}
	}
	return err
}

// isNews reports whether the offer is newer than what runs, and refuses what
// this host must not install.
func (s *session) isNews(o offer) (bool, error) {
	image, v := s.facts.Image, o.Release.Version
	switch order := v.Compare(image.Version); {
	case order < 0:
		return false, refuse(v, "older than the running %s", image.Version)
	case order == 0 && o.Root.Hash != s.facts.Root.Hash:
		return false, refuse(v, "the same version runs with another root hash")
	case order == 0:
		return false, nil
	}
	if err := o.mayTake(); err != nil {
		return false, err
	}
	err := s.mayHold(o, max(image.SecurityEpoch, s.record.SecurityEpoch))
	return err == nil, err
}

// mayHold refuses what no slot of this host should hold.
func (s *session) mayHold(o offer, epoch uint64) error {
	if o.Release.SecurityEpoch < epoch {
		return refuse(o.Release.Version, "security epoch %d: this host demands %d or higher", o.Release.SecurityEpoch, epoch)
	}
	if b, blocked := s.record.BlockOf(o.Digest, o.Release.Root.Hash); blocked {
		return refuse(o.Release.Version, "blocked on this host since %s: %s", b.When.Format("2006-01-02 15:04 MST"), b.Reason)
	}
	return nil
}
