package updater

import (
	"context"
	"errors"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/demands"
)

// lacking is what this host demands of an offer that it has not taken yet, and does not
// find: see demands.Demands. It is read before anything of the offer is fetched.
func (s *session) lacking(ctx context.Context, client *signing.Client, o offer) ([]string, error) {
	wanted := s.Settings.Demands
	if !wanted.Any() || o.Release.Version.Compare(s.facts.Image.Version) <= 0 {
		return nil, nil
	}
	evidence := demands.Evidence{
		Release: o.Release, Digest: o.Digest,
		Running: demands.Running{Version: s.facts.Image.Version, Release: s.running().Release},
		Now:     s.Now(),
	}
	var err error
	if evidence.Envelopes, err = s.attached(ctx, client, o); err != nil {
		return nil, err
	}
	if a, ok := o.Release.Artifact(manifests.ProvenanceFile); ok && len(wanted.Provenance) > 0 {
		envelope, err := s.offeredDocument(ctx, o, a)
		if err != nil {
			return nil, err
		}
		evidence.Envelopes = append(evidence.Envelopes, envelope)
	}
	return wanted.Missing(evidence), nil
}

// attached is what is attested of an offer, which may be nothing.
func (s *session) attached(ctx context.Context, client *signing.Client, o offer) ([][]byte, error) {
	image := s.facts.Image
	verified, err := client.Fetch(ctx, manifests.AttestationsTarget(image.Product, image.Arch, o.Release.Version))
	if errors.Is(err, signing.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, trustError(ctx, err)
	}
	envelopes, err := manifests.SplitAttestations(verified.Bytes())
	if err != nil {
		return nil, refuse(o.Release.Version, "%v", err)
	}
	return envelopes, nil
}

// judgeEvidence takes down what an offer lacks, and gives up what was begun of it.
func (s *session) judgeEvidence(ctx context.Context, client *signing.Client, o *offer) (err error) {
	if o.told.Missing, err = s.lacking(ctx, client, *o); err != nil || len(o.told.Missing) == 0 {
		return err
	}
	if begun := s.underWay(); begun != nil && begun.Release == o.Digest && o.told.withdrawn == nil {
		o.told.withdrawn = &withdrawal{o.Digest, o.told.lacks()}
	}
	return nil
}

// lacks is what is missing, in a line.
func (t Told) lacks() string {
	return "it lacks what this host demands: " + strings.Join(t.Missing, "; ")
}
