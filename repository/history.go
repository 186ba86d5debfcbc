package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/signing"
)

// How many older releases an image is compared with before it is cut, however few
// or many deltas are wanted: each takes a few seconds, and 1/128 of its size in
// memory.
const (
	historyLeast = 3
	historyMost  = 8
)

// errOtherSalt is of a release that shares no leaf hash with the new one: its
// hosts know of none of their blocks that it is one of the new image.
var errOtherSalt = errors.New("its hash tree has another salt")

// isUnusable reports whether err says that a release which is published is of no
// use as a base, and nothing else is wrong.
func isUnusable(err error) bool {
	for _, e := range []error{errOtherSalt, ErrBroken, fs.ErrNotExist, signing.ErrMismatch, signing.ErrNotFound} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

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

// compared is the older releases that an image is compared with.
func (r *repository) compared(release manifests.Release, deltas int) []listed {
	return r.older(release, max(historyLeast, min(deltas, historyMost)))
}

// history is the leaf hashes of the root images of older releases. One that is
// unusable is left out: it tells of nothing that a host could find again.
func (r *repository) history(ctx context.Context, release manifests.Release, older []listed) ([]leafHashes, error) {
	var all []leafHashes
	for _, l := range older {
		hashes := &leafHasher{salt: release.Root.Salt}
		switch _, err := r.unpackBase(ctx, l, release.Root.Salt, hashes); {
		case isUnusable(err):
			continue
		case err != nil:
			return nil, err
		}
		all = append(all, hashes.leaves)
	}
	return all, nil
}

// unpackBase is unpack for a release that must have the given salt.
func (r *repository) unpackBase(ctx context.Context, l listed, salt []byte, w io.Writer) (manifests.Release, error) {
	release, err := r.release(l)
	if err != nil {
		return manifests.Release{}, err
	}
	if !bytes.Equal(release.Root.Salt, salt) {
		return manifests.Release{}, errOtherSalt
	}
	return r.unpack(ctx, l, w)
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
	if err != nil {
		return manifests.Transport{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return transport, nil
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
