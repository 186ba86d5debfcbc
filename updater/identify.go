package updater

import (
	"context"
	"slices"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/journal"
)

// clue is what something on this host says that a slot holds.
type clue struct {
	root    []byte            // hash
	version manifests.Version // "" when it does not say
}

// clues are ordered by weight: what the slot's kernel image would boot, what the
// journal knows, what the top block of the slot's tree is the hash of. Each may
// be damaged, so each may name a release that there never was.
func (s *session) clues(letter partitions.Slot) ([]clue, error) {
	var found []clue
	if root, err := s.installedRoot(letter); err == nil {
		found = append(found, clue{root: root.Hash[:]})
	}
	for _, known := range []*journal.Target{s.record.Target, s.release(letter)} {
		if known != nil && known.Slot == letter && len(known.RootHash) == verity.HashSize {
			found = append(found, clue{known.RootHash, known.Version})
		}
	}
	slot, err := s.disk.Slot(letter, false)
	if err != nil {
		return nil, err
	}
	defer slot.Close()
	// The salt is the product's.
	top := make([]byte, verity.BlockSize)
	if n, _ := slot.Tree.ReadAt(top, verity.TopOffset); n == len(top) && !isZero(top) {
		found = append(found, clue{root: verity.LeafHashes(nil, s.facts.Root.Salt, top)})
	}
	return found, nil
}

func isZero(p []byte) bool {
	return !slices.ContainsFunc(p, func(b byte) bool { return b != 0 })
}

// identify finds the release that the slot holds among those that the
// repository vouches for, by root hash: the first clue that leads to one counts.
func (s *session) identify(ctx context.Context, letter partitions.Slot) (offer, error) {
	clues, err := s.clues(letter)
	if err != nil {
		return offer{}, err
	}
	if len(clues) == 0 {
		return offer{}, refuse("", "nothing says what slot %s held: it has no kernel image and no hash tree, and the journal does not know it", letter)
	}
	client, err := s.openRepository()
	if err != nil {
		return offer{}, err
	}
	if err := client.Refresh(ctx); err != nil {
		return offer{}, trustError(ctx, err)
	}
	f := &finder{session: s, client: client, roots: map[manifests.Version][]byte{}}
	if f.versions, err = f.list(ctx); err != nil {
		return offer{}, err
	}
	// Mostly the journal knows which one it is.
	f.first(clues)
	for _, c := range clues {
		v, err := f.find(ctx, c)
		if err != nil {
			return offer{}, err
		}
		if v != "" {
			return f.read(ctx, v)
		}
	}
	return offer{}, refuse("", "slot %s should have root hash %x: the repository has no such release of %s for %s",
		letter, clues[0].root, s.facts.Image.Product, s.facts.Image.Arch)
}

// finder looks releases up by root hash.
type finder struct {
	session  *session
	client   *signing.Client
	versions []manifests.Version          // in the order to look at
	roots    map[manifests.Version][]byte // root hashes of those that were looked at
}

// list is the versions that there are of this product and machine, newest first.
func (f *finder) list(ctx context.Context) ([]manifests.Version, error) {
	names, err := f.client.Targets(ctx)
	if err != nil {
		return nil, err
	}
	image := f.session.facts.Image
	var versions []manifests.Version
	for _, name := range names {
		if v, ok := manifests.ReleaseTargetVersion(image.Product, image.Arch, name); ok {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, func(a, b manifests.Version) int { return b.Compare(a) })
	return versions, nil
}

// first moves the versions that clues name to the front.
func (f *finder) first(clues []clue) {
	named := func(v manifests.Version) bool {
		return slices.ContainsFunc(clues, func(c clue) bool { return c.version == v })
	}
	slices.SortStableFunc(f.versions, func(a, b manifests.Version) int {
		switch {
		case named(a) == named(b):
			return 0
		case named(a):
			return -1
		}
		return 1
	})
}

// find is the version with the clue's root hash, or "".
func (f *finder) find(ctx context.Context, c clue) (manifests.Version, error) {
	for _, v := range f.versions {
		root, known := f.roots[v]
		if !known {
			data, err := fetchTarget(ctx, f.client, manifests.ReleaseTarget(f.session.facts.Image.Product, f.session.facts.Image.Arch, v))
			if err != nil {
				return "", err
			}
			if release, err := manifests.ParseRelease(data); err == nil { // or it is of a later time
				root = release.Root.Hash
			}
			f.roots[v] = root
		}
		if sameRoot(root, c.root) {
			return v, nil
		}
	}
	return "", nil
}

// read gets all that is to be known of a release.
func (f *finder) read(ctx context.Context, v manifests.Version) (offer, error) {
	image := f.session.facts.Image
	get := func(target string) ([]byte, error) { return fetchTarget(ctx, f.client, target) }
	data, err := get(manifests.ReleaseTarget(image.Product, image.Arch, v))
	if err != nil {
		return offer{}, err
	}
	o, err := f.session.readRelease(manifests.Channel{
		Product: image.Product, Arch: image.Arch, Version: v, Release: manifests.DigestOf(data),
	}, get)
	if err != nil {
		return offer{}, err
	}
	// That a slot has it already may be the work of somebody who can write to the
	// boot partition.
	return o, f.session.mayHold(o, f.session.record.SecurityEpoch)
}
