package repository

import (
	"errors"
	"fmt"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// What can keep a channel from pointing to a release, beside ErrDowngrade, for
// errors.Is.
var (
	ErrRetracted  = errors.New("hosts refuse what is retracted")
	ErrLowerEpoch = errors.New("hosts would refuse its security epoch")
)

// stonesMost is how many stepping stones lead to a release, one after the other;
// hosts follow no more.
const stonesMost = manifests.SteppingStonesMost

// notice is what is published of a release, or one that says nothing.
func (r *repository) notice(l listed) (manifests.Notice, error) {
	text, err := r.target(manifests.NoticeTarget(l.product, l.arch, l.version))
	if errors.Is(err, signing.ErrNotFound) {
		return manifests.Notice{Schema: 1, Product: l.product, Arch: l.arch, Version: l.version, Release: l.digest}, nil
	}
	if err != nil {
		return manifests.Notice{}, err
	}
	notice, err := manifests.ParseNotice(text)
	if err == nil {
		err = notice.CheckFor(l.product, l.arch, l.version, l.digest)
	}
	if err != nil {
		return manifests.Notice{}, fmt.Errorf("%s %s: %w: %w", l.product, l.version, ErrBroken, err)
	}
	return notice, nil
}

// setNotice adds the target of a notice to targets, unless it says what is
// published already, which may be nothing.
func (r *repository) setNotice(targets map[string][]byte, notice manifests.Notice) error {
	text, err := document(notice)
	if err != nil {
		return err
	}
	// Hosts are stricter than the encoder.
	if _, err := manifests.ParseNotice(text); err != nil {
		return err
	}
	name := manifests.NoticeTarget(notice.Product, notice.Arch, notice.Version)
	if _, _, exists := r.meta.Target(name); exists || notice.Notes != "" || notice.Requires != nil || notice.Retracted != nil {
		targets[name] = text
	}
	return nil
}

// mayOffer refuses to move a channel to a release that is retracted.
func mayOffer(notice manifests.Notice) error {
	if notice.Retracted != nil {
		return fmt.Errorf("%s %s was %s: %w", notice.Product, notice.Version, notice.Retracted, ErrRetracted)
	}
	return nil
}

// changeNotice is the notice of a release with the notes and the stepping stone that
// a publisher gives it; nil leaves what is published, and empty takes it away.
func (r *repository) changeNotice(l listed, release manifests.Release, notes *string, requires *manifests.Version) (manifests.Notice, error) {
	notice, err := r.notice(l)
	if err != nil {
		return manifests.Notice{}, err
	}
	if notes != nil {
		if err := manifests.CheckNotes(*notes); err != nil {
			return manifests.Notice{}, err
		}
		notice.Notes = *notes
	}
	if requires == nil {
		return notice, nil
	}
	if notice.Requires = nil; *requires == "" {
		return notice, nil
	}
	stone, err := r.find(PromoteConfig{Version: *requires, Product: l.product, Arch: l.arch})
	if err != nil {
		return manifests.Notice{}, fmt.Errorf("required first: %w", err)
	}
	notice.Requires = &manifests.SteppingStone{Version: stone.version, Release: stone.digest}
	return notice, r.checkStone(l, release, stone)
}

// checkStone refuses a stepping stone that hosts would not take, or could not go on
// from.
func (r *repository) checkStone(l listed, release manifests.Release, stone listed) error {
	if stone.version.Compare(l.version) >= 0 {
		return fmt.Errorf("%s cannot require %s first: want an older version", l.version, stone.version)
	}
	notice, err := r.notice(stone)
	if err != nil {
		return err
	}
	if err := mayOffer(notice); err != nil {
		return err
	}
	content, err := r.release(stone)
	if err != nil {
		return err
	}
	if content.SecurityEpoch > release.SecurityEpoch {
		return fmt.Errorf("%s has security epoch %d, and %s, which requires it, has %d: %w",
			stone.version, content.SecurityEpoch, l.version, release.SecurityEpoch, ErrLowerEpoch)
	}
	before, err := r.route(stone)
	if err == nil && len(before) > stonesMost {
		err = fmt.Errorf("%s would be reached over more than %d others", l.version, stonesMost)
	}
	return err
}

// route is a release and the stepping stones on the way to it, each before the one
// that it is required for: the order in which a host comes to know them.
func (r *repository) route(to listed) ([]listed, error) {
	route := []listed{to}
	for len(route) <= stonesMost {
		notice, err := r.notice(route[len(route)-1])
		if err != nil {
			return nil, err
		}
		if notice.Requires == nil {
			return route, nil
		}
		route = append(route, listed{to.product, to.arch, notice.Requires.Version, notice.Requires.Release})
	}
	return route, nil
}

// requiredBy is the releases that hosts reach over the given one. Of one whose notice
// cannot be read nothing is said: that must not keep another from being retracted.
func (r *repository) requiredBy(stone listed) ([]manifests.Version, error) {
	versions := []manifests.Version{}
	for _, l := range r.releases() {
		if l.product != stone.product || l.arch != stone.arch {
			continue
		}
		notice, err := r.notice(l)
		if err != nil && !isUnusable(err) {
			return nil, err
		}
		if notice.Requires != nil && notice.Requires.Version == stone.version {
			versions = append(versions, l.version)
		}
	}
	return versions, nil
}
