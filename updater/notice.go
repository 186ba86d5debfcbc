package updater

import (
	"context"
	"errors"
	"fmt"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
)

// Told is what the publisher says of an offer beside what is in it.
type Told struct {
	// ReleaseNotes are the offered release's, for people.
	ReleaseNotes string `json:"releaseNotes,omitempty"`
	// Toward is the version that the channel names, when the offered one is a
	// stepping stone on the way to it.
	Toward manifests.Version `json:"toward,omitempty"`
	// RunningRetracted is set when the release that runs should not have been
	// published: it runs on, and a newer one is welcome.
	RunningRetracted *manifests.Retraction `json:"runningRetracted,omitempty"`
	// Missing is what this host demands of the offer and does not find, a sentence
	// about each.
	Missing []string `json:"missing,omitempty"`

	retracted *manifests.Retraction // the offer is
	withdrawn *withdrawal
}

// withdrawal is why a release that an update has begun to install is not wanted any
// more.
type withdrawal struct {
	release manifests.Digest
	why     string
}

// notice reads what the publisher says of a release of this host's product, which may
// be nothing. A zero digest is that of a release which this host does not know by it.
func (s *session) notice(ctx context.Context, client *signing.Client, v manifests.Version, release manifests.Digest) (manifests.Notice, error) {
	image := s.facts.Image
	verified, err := client.Fetch(ctx, manifests.NoticeTarget(image.Product, image.Arch, v))
	if errors.Is(err, signing.ErrNotFound) {
		return manifests.Notice{}, nil
	}
	if err != nil {
		return manifests.Notice{}, trustError(ctx, err)
	}
	notice, err := manifests.ParseNotice(verified.Bytes())
	if err == nil {
		if release.IsZero() {
			release = notice.Release
		}
		err = notice.CheckFor(image.Product, image.Arch, v, release)
	}
	if err != nil {
		return manifests.Notice{}, refuse(v, "%v", err)
	}
	return notice, nil
}

// nextStop is where this host goes next to come to what its channel names: there, or
// to the first stepping stone on the way that it has not reached. What is
// retracted is as far as one gets.
func (s *session) nextStop(ctx context.Context, client *signing.Client, channel manifests.Channel) (manifests.Channel, Told, error) {
	at := channel
	for range manifests.SteppingStonesMost + 1 {
		notice, err := s.notice(ctx, client, at.Version, at.Release)
		if err != nil {
			return at, Told{}, err
		}
		stone := notice.Requires
		if notice.Retracted != nil || stone == nil || s.facts.Image.Version.Compare(stone.Version) >= 0 {
			told := Told{ReleaseNotes: notice.Notes, retracted: notice.Retracted}
			if at.Version != channel.Version {
				told.Toward = channel.Version
			}
			return at, told, s.askOfOthers(ctx, client, &told)
		}
		at.Version, at.Release = stone.Version, stone.Release
	}
	return at, Told{}, refuse(channel.Version, "more than %d stepping stones lead to it", manifests.SteppingStonesMost)
}

// askOfOthers asks for the release that runs, and for one that was begun here.
func (s *session) askOfOthers(ctx context.Context, client *signing.Client, told *Told) error {
	running, err := s.retraction(ctx, client, s.running())
	if err != nil {
		return err
	}
	told.RunningRetracted = running
	begun := s.underWay()
	if begun == nil {
		return nil
	}
	found, err := s.retraction(ctx, client, *begun)
	if err == nil && found != nil {
		told.withdrawn = &withdrawal{begun.Release, "it was " + found.String()}
	}
	return err
}

// retraction is that of a release that this host has or is about to have, nil if there is
// none. A notice that cannot be understood is no reason to stay with it.
func (s *session) retraction(ctx context.Context, client *signing.Client, t journal.Target) (*manifests.Retraction, error) {
	notice, err := s.notice(ctx, client, t.Version, t.Release)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return nil, nil
	}
	return notice.Retracted, err
}

// underWay is the release that an update has begun to install and that never ran here.
func (s *session) underWay() *journal.Target {
	t := s.record.Target
	if t == nil || t.Release.IsZero() || t.Slot == s.facts.Slot || s.ledBefore(*t) {
		return nil
	}
	switch s.record.Phase {
	case journal.Clearing, journal.Writing, journal.Verified, journal.Armed:
		return t
	}
	return nil
}

// withdraw gives up what was begun here and is not wanted any more, so that no boot takes it.
func (s *session) withdraw(w *withdrawal) ([]string, error) {
	begun := s.underWay()
	if w == nil || begun == nil || begun.Release != w.release || s.standing() != lifecycle.Settled {
		return nil, nil
	}
	target := *begun
	if err := s.noteCancelling(); err != nil {
		return nil, err
	}
	if err := s.finishCancelling(); err != nil {
		return nil, err
	}
	s.emit(about(events.Refused, target, w.why))
	return []string{fmt.Sprintf("gave up %s: %s", target.Version, w.why)}, nil
}

// mayTake refuses an offer that is retracted, or lacks what this host demands.
func (o offer) mayTake() error {
	switch v := o.Release.Version; {
	case o.told.retracted == nil && len(o.told.Missing) == 0:
		return nil
	case o.told.retracted == nil:
		return refuse(v, "%s", o.told.lacks())
	case o.told.Toward != "":
		return refuse(v, "it comes before %s, and was %s", o.told.Toward, o.told.retracted)
	default:
		return refuse(v, "%s", o.told.retracted)
	}
}
