package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
)

// ErrNoChannel is wrapped by the error of a release that no channel points to:
// machines install what their channel names, and nothing else.
var ErrNoChannel = errors.New("no channel points to it")

// findReleases finds the releases and the channel that machines are to follow.
func (r *run) findReleases(context.Context) error {
	contents, err := repository.List(r.Repository)
	if err != nil {
		return err
	}
	if r.to, err = choose(contents.Releases, r.To, r.Product, r.Arch); err != nil {
		return err
	}
	switch channels := r.to.Channels; {
	case r.Channel != "" && !slices.Contains(channels, r.Channel):
		return fmt.Errorf("channel %s and version %s: %w", r.Channel, r.To, ErrNoChannel)
	case r.Channel == "" && len(channels) == 0:
		return fmt.Errorf("version %s: %w", r.To, ErrNoChannel)
	case r.Channel == "":
		r.Channel = channels[0]
	}
	for _, version := range r.From {
		from, err := choose(contents.Releases, version, r.to.Product, r.to.Arch)
		if err != nil {
			return err
		}
		r.from = append(r.from, from)
	}
	r.report.Product, r.report.Arch, r.report.Version = r.to.Product, r.to.Arch, r.to.Version
	r.report.Release, r.report.Channel = r.to.Release, r.Channel
	r.report.Checks = []string{}
	for _, check := range r.Checks {
		r.report.Checks = append(r.report.Checks, check.Name)
	}
	if r.Settings != nil {
		r.report.Settings = manifests.DigestOf(r.Settings)
	}
	return nil
}

func choose(releases []repository.Entry, version manifests.Version, product string, arch manifests.Arch) (repository.Entry, error) {
	var found []repository.Entry
	for _, e := range releases {
		if e.Version == version && (product == "" || e.Product == product) && (arch == "" || e.Arch == arch) {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return repository.Entry{}, fmt.Errorf("version %s: %w", version, repository.ErrNoRelease)
	case 1:
		return found[0], nil
	}
	var of []string
	for _, e := range found {
		of = append(of, e.Product+" "+string(e.Arch))
	}
	return repository.Entry{}, fmt.Errorf("version %s is of %s: %w", version, strings.Join(of, " and of "), repository.ErrAmbiguous)
}
