package repository

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// Contents is what a repository offers.
type Contents struct {
	Releases []Entry    `json:"releases"` // by product, architecture, then newest first
	Metadata []Metadata `json:"metadata"` // of each role
}

// Entry is one release.
type Entry struct {
	Product       string            `json:"product"`
	Arch          manifests.Arch    `json:"arch"`
	Version       manifests.Version `json:"version"`
	Release       manifests.Digest  `json:"release"`
	SecurityEpoch uint64            `json:"securityEpoch"`
	Built         time.Time         `json:"built"`     // the build's epoch
	RootSize      int64             `json:"rootSize"`  // bytes of the root image
	FetchSize     int64             `json:"fetchSize"` // bytes that hosts fetch at most
	IndexSize     int64             `json:"indexSize"` // bytes of the chunk index
	Deltas        []DeltaEntry      `json:"deltas"`    // newest base first
	Channels      []string          `json:"channels"`  // that point to it, sorted

	// What its notice says; see manifests.Notice.
	Notes     string                   `json:"notes,omitempty"`
	Requires  *manifests.SteppingStone `json:"requires,omitempty"`
	Retracted *manifests.Retraction    `json:"retracted,omitempty"`

	Attestations []Attestation `json:"attestations"` // that are attached to it
}

// DeltaEntry is one delta.
type DeltaEntry struct {
	From manifests.Version `json:"from"`
	Size int64             `json:"size"` // bytes
}

func deltaEntries(t manifests.Transport) []DeltaEntry {
	entries := []DeltaEntry{}
	for _, d := range t.Deltas {
		entries = append(entries, DeltaEntry{d.Version, d.Size})
	}
	return entries
}

// Metadata is the state of one role.
type Metadata struct {
	Role    signing.Role `json:"role"`
	Version int64        `json:"version"`
	Expires time.Time    `json:"expires"`
}

// List reads a repository. It needs no keys and takes no lock: metadata and
// targets are never changed in place.
func List(dir string) (Contents, error) {
	meta, err := readMetadata(dir)
	if err != nil {
		return Contents{}, err
	}
	r := &repository{Config: Config{Dir: dir}, meta: meta}
	contents := Contents{Releases: []Entry{}}
	for _, role := range signing.Roles() {
		contents.Metadata = append(contents.Metadata, Metadata{role, meta.Version(role), meta.Expires(role)})
	}
	channels, err := r.channels()
	if err != nil {
		return Contents{}, err
	}
	for _, found := range r.releases() {
		entry, err := r.entry(found)
		if err != nil {
			return Contents{}, err
		}
		for _, c := range channels {
			if c.Release == found.digest {
				entry.Channels = append(entry.Channels, c.Name)
			}
		}
		contents.Releases = append(contents.Releases, entry)
	}
	return contents, nil
}

func (r *repository) entry(found listed) (Entry, error) {
	release, err := r.release(found)
	if err != nil {
		return Entry{}, err
	}
	text, err := r.target(manifests.TransportTarget(found.product, found.arch, found.version))
	if err != nil {
		return Entry{}, err
	}
	transport, err := manifests.ParseTransport(text)
	if err != nil {
		return Entry{}, err
	}
	notice, err := r.notice(found)
	if err != nil {
		return Entry{}, err
	}
	attestations, err := r.attestations(found, release)
	if err != nil {
		return Entry{}, err
	}
	return Entry{
		Product:       found.product,
		Arch:          found.arch,
		Version:       found.version,
		Release:       found.digest,
		SecurityEpoch: release.SecurityEpoch,
		Built:         time.Unix(release.Epoch, 0).UTC(),
		RootSize:      int64(release.Root.Blocks) * manifests.BlockSize,
		FetchSize:     transport.Root.Size + transport.Index.Size + transport.UKI.Size,
		IndexSize:     transport.Index.Size,
		Deltas:        deltaEntries(transport),
		Channels:      []string{},
		Notes:         notice.Notes,
		Requires:      notice.Requires,
		Retracted:     notice.Retracted,
		Attestations:  attestations,
	}, nil
}

// listed is a release as the name of its target tells.
type listed struct {
	product string
	arch    manifests.Arch
	version manifests.Version
	digest  manifests.Digest
}

// releases are those that the metadata lists: by product, architecture, then
// newest first.
func (r *repository) releases() []listed {
	var found []listed
	for _, name := range r.meta.Targets() {
		part := strings.Split(name, "/")
		if len(part) != 5 || part[0] != "releases" || part[4] != manifests.ReleaseFile {
			continue
		}
		digest, _, _ := r.meta.Target(name)
		found = append(found, listed{part[1], manifests.Arch(part[2]), manifests.Version(part[3]), digest})
	}
	slices.SortStableFunc(found, func(a, b listed) int {
		if a.product != b.product || a.arch != b.arch {
			return strings.Compare(a.product+"/"+string(a.arch), b.product+"/"+string(b.arch))
		}
		return b.version.Compare(a.version)
	})
	return found
}

func (r *repository) release(found listed) (manifests.Release, error) {
	text, err := r.target(manifests.ReleaseTarget(found.product, found.arch, found.version))
	if err != nil {
		return manifests.Release{}, err
	}
	release, err := manifests.ParseRelease(text)
	if err != nil {
		return manifests.Release{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return release, nil
}

func (r *repository) channels() ([]manifests.Channel, error) {
	var found []manifests.Channel
	for _, name := range r.meta.Targets() {
		if !strings.HasPrefix(name, "channels/") {
			continue
		}
		channel, _, err := r.channel(name)
		if err != nil {
			return nil, err
		}
		found = append(found, channel)
	}
	return found, nil
}

// channel reads a channel by the name of its target, if there is one.
func (r *repository) channel(target string) (channel manifests.Channel, exists bool, err error) {
	text, err := r.target(target)
	if errors.Is(err, signing.ErrNotFound) {
		return manifests.Channel{}, false, nil
	}
	if err == nil {
		channel, err = manifests.ParseChannel(text)
	}
	return channel, err == nil, err
}
