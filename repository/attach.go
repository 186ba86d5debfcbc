package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// ErrAttestsNothing says that a file attests nothing of a release that hosts would
// count, for errors.Is.
var ErrAttestsNothing = errors.New("it attests nothing of this release")

// AttachConfig is what Attach needs.
type AttachConfig struct {
	Config
	Version manifests.Version // required
	Product string            // empty: the only one that has the version
	Arch    manifests.Arch    // empty: the only one that has the version
	// Files are envelopes with signed statements about the release, each alone or
	// several as lines. Required.
	Files []File
}

// File is a file that has been read.
type File struct {
	Name    string // for people
	Content []byte
}

// Attached is what became of it.
type Attached struct {
	Product      string            `json:"product"`
	Arch         manifests.Arch    `json:"arch"`
	Version      manifests.Version `json:"version"`
	Release      manifests.Digest  `json:"release"`
	Attestations []Attestation     `json:"attestations"` // all that there are now
	Changed      bool              `json:"changed"`
}

// Attestation is a signed statement about a release, as it calls itself: whose keys
// count is for those who demand it.
type Attestation struct {
	Type string   `json:"type"` // its predicate type
	Keys []string `json:"keys"` // ids of keys that it says to be signed by, sorted
	Size int      `json:"size"` // bytes of the envelope

	of       string
	envelope []byte // in one line
}

// Attach puts statements that others have signed beside a release that is published,
// where hosts that demand them find them. One that says the same as an older one of
// the same keys takes its place. It verifies no signature: each host does, by the
// keys that it was given.
func Attach(ctx context.Context, cfg AttachConfig) (Attached, error) {
	r, unlock, err := open(cfg.Config)
	if err != nil {
		return Attached{}, err
	}
	defer unlock()
	found, err := r.find(PromoteConfig{Version: cfg.Version, Product: cfg.Product, Arch: cfg.Arch})
	if err != nil {
		return Attached{}, err
	}
	release, err := r.release(found)
	if err != nil {
		return Attached{}, err
	}
	all, err := r.attestations(found, release)
	if err != nil {
		return Attached{}, err
	}
	for _, file := range cfg.Files {
		read, err := readAttestations(file, found, release)
		if err != nil {
			return Attached{}, err
		}
		for _, a := range read {
			all = a.addTo(all)
		}
	}
	var envelopes [][]byte
	for _, a := range all {
		envelopes = append(envelopes, a.envelope)
	}
	bundle, err := manifests.JoinAttestations(envelopes)
	if err != nil {
		return Attached{}, err
	}
	changed, err := r.update(ctx, map[string][]byte{manifests.AttestationsTarget(found.product, found.arch, found.version): bundle})
	return Attached{
		Product: found.product, Arch: found.arch, Version: found.version, Release: found.digest,
		Attestations: all, Changed: changed,
	}, err
}

// attestations is what is published of a release. What hosts would pass over is left
// out.
func (r *repository) attestations(l listed, release manifests.Release) ([]Attestation, error) {
	bundle, err := r.target(manifests.AttestationsTarget(l.product, l.arch, l.version))
	if errors.Is(err, signing.ErrNotFound) {
		return []Attestation{}, nil
	}
	if err != nil {
		return nil, err
	}
	all, _, err := splitAttestations(bundle, l, release)
	return all, err
}

// splitAttestations also tells what is wrong with each line that is none.
func splitAttestations(bundle []byte, l listed, release manifests.Release) (all []Attestation, faults []error, err error) {
	lines, err := manifests.SplitAttestations(bundle)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w: %w", l.product, l.version, ErrBroken, err)
	}
	all = []Attestation{}
	for n, line := range lines {
		a, err := readAttestation(line, l, release)
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", n+1, err))
			continue
		}
		all = append(all, a)
	}
	return all, faults, nil
}

// readAttestations reads a file with one envelope, in however many lines, or with one
// in each.
func readAttestations(file File, l listed, release manifests.Release) ([]Attestation, error) {
	if json.Valid(file.Content) {
		a, err := readAttestation(file.Content, l, release)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name, err)
		}
		return []Attestation{a}, nil
	}
	all, faults, err := splitAttestations(file.Content, l, release)
	if err == nil && len(faults) > 0 {
		err = faults[0]
	}
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%w: it is empty", ErrAttestsNothing)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name, err)
	}
	return all, nil
}

func readAttestation(envelope []byte, l listed, release manifests.Release) (Attestation, error) {
	fail := func(err error) (Attestation, error) {
		return Attestation{}, fmt.Errorf("%w: %w", ErrAttestsNothing, err)
	}
	payload, err := signing.OpenUnsealed(envelope, signing.PayloadInToto)
	if err != nil {
		return fail(err)
	}
	keys, err := signing.NamedSigners(envelope, signing.PayloadInToto)
	if err == nil && len(keys) == 0 {
		err = errors.New("nobody has signed it")
	}
	if err != nil {
		return fail(err)
	}
	attested, err := manifests.Attests(payload, release, l.digest)
	if err != nil {
		return fail(err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, envelope); err != nil {
		return fail(err)
	}
	slices.Sort(keys)
	return Attestation{Type: attested.Type, Keys: keys, Size: line.Len(), of: attested.Of, envelope: line.Bytes()}, nil
}

// addTo adds an attestation, or puts it in the place of one that says the same.
func (a Attestation) addTo(all []Attestation) []Attestation {
	for n, old := range all {
		if old.Type == a.Type && old.of == a.of && slices.Equal(old.Keys, a.Keys) {
			all[n] = a
			return all
		}
	}
	return append(all, a)
}

// compareAttestations looks at what is attached to a release.
func (c *checking) compareAttestations(key listed, d *documents) {
	if d.attested == nil {
		return
	}
	name := manifests.AttestationsTarget(key.product, key.arch, key.version)
	key.digest = d.digest
	_, faults, err := splitAttestations(d.attested, key, *d.release)
	if err != nil {
		c.wrong(name, "hosts that demand any would refuse the release: %v", err)
	}
	for _, fault := range faults {
		c.note(name, "hosts pass over %v", fault)
	}
}
