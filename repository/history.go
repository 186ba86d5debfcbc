package repository

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
)

// historyLeast is how many older releases an image is compared with before it is
// cut, however few deltas are wanted: each takes a few seconds.
const historyLeast = 3

// older is the newest releases of the same product and architecture below the
// given one, at most n, newest first.
func (r *repository) older(release manifests.Release, n int) []listed {
	var found []listed
	for _, l := range r.releases() { // newest first
		if l.product == release.Product && l.arch == release.Arch && l.version.Compare(release.Version) < 0 && len(found) < n {
			found = append(found, l)
		}
	}
	return found
}

// history is the leaf hashes, under the release's salt, of the root images of
// older releases. One that is damaged is left out: it tells of nothing that a host
// could have.
func (r *repository) history(ctx context.Context, release manifests.Release, older []listed) ([]leafHashes, error) {
	var all []leafHashes
	for _, l := range older {
		hashes := &leafHasher{salt: release.Root.Salt}
		switch _, err := r.unpack(ctx, l, hashes); {
		case errors.Is(err, ErrBroken) || errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		all = append(all, hashes.leaves)
	}
	return all, nil
}

// unpack writes the root image of a release that is published to w.
func (r *repository) unpack(ctx context.Context, l listed, w io.Writer) (manifests.Release, error) {
	release, err := r.release(l)
	if err != nil {
		return manifests.Release{}, err
	}
	transport, err := r.transport(l, release)
	if err != nil {
		return manifests.Release{}, err
	}
	return release, r.decodeRoot(ctx, release, transport, w)
}

// transport reads how the files of a release travel.
func (r *repository) transport(l listed, release manifests.Release) (manifests.Transport, error) {
	text, err := r.target(manifests.TransportTarget(l.product, l.arch, l.version))
	if err != nil {
		return manifests.Transport{}, err
	}
	transport, err := manifests.ParseTransport(text)
	if err == nil {
		err = transport.CheckAgainst(release, l.digest)
	}
	return transport, err
}

// leafHashes is the leaf hashes of an image's blocks, one after the other.
type leafHashes []byte

func (l leafHashes) blocks() int { return len(l) / verity.HashSize }

// leaf is enough of a leaf hash to tell blocks from each other.
type leaf [16]byte

func (l leafHashes) at(n int) leaf { return leaf(l[n*verity.HashSize:]) }

// leafHasher collects the leaf hashes of what is written to it, whole blocks each
// time.
type leafHasher struct {
	salt   []byte
	leaves leafHashes
}

// Write implements io.Writer.
func (h *leafHasher) Write(p []byte) (int, error) {
	h.leaves = verity.LeafHashes(h.leaves, h.salt, p)
	return len(p), nil
}

// placesIn says for each block of an image where it is in an older one, in
// blocks; -1 when it is not. Of several places it is the one behind that of the
// block before, so that what was moved together stays together.
func (l leafHashes) placesIn(old leafHashes) []int {
	first := make(map[leaf]int, old.blocks())
	for n := old.blocks() - 1; n >= 0; n-- {
		first[old.at(n)] = n
	}
	places := make([]int, l.blocks())
	next := -1
	for n := range places {
		hash := l.at(n)
		switch at, known := first[hash]; {
		case next >= 0 && next < old.blocks() && old.at(next) == hash:
			places[n] = next
		case known:
			places[n] = at
		default:
			places[n] = -1
		}
		next = -1
		if places[n] >= 0 {
			next = places[n] + 1
		}
	}
	return places
}
