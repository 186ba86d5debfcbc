package builder

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/overlay"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// readSources fills the tree, source by source; later ones win.
func (b *build) readSources(ctx context.Context) error {
	for _, source := range b.Recipe.Sources {
		if err := b.readSource(ctx, source); err != nil {
			return err
		}
	}
	return nil
}

func (b *build) readSource(ctx context.Context, s manifests.Source) error {
	switch {
	case s.Tar == "-":
		if b.Stdin == nil {
			return errors.New("the recipe reads a tar archive from standard input, and there is none")
		}
		return tarball.Add(ctx, b.store, b.tree, tarball.Config{Name: s.Name(), Reader: b.stdin(), Progress: b.Progress})
	case s.Tar != "":
		return tarball.Add(ctx, b.store, b.tree, tarball.Config{Name: s.Name(), Path: b.inFolder(s.Tar), Progress: b.Progress})
	case s.InRegistry():
		return b.addImage(ctx, s)
	case s.OCI != "":
		return oci.Add(ctx, b.store, b.tree, oci.Config{Name: s.Name(), Path: b.inFolder(s.OCI), Arch: b.Arch, Ref: s.Ref, Cache: b.imageCache(), Progress: b.Progress})
	case s.Deb != nil:
		return b.addPackages(ctx, s, b.debManager(s))
	case s.RPM != nil:
		return b.addRPM(ctx, s)
	default:
		return overlay.Add(ctx, b.store, b.tree, overlay.Config{Name: s.Name(), Dir: b.inFolder(s.Dir), Entries: overlayEntries(s.Entries)})
	}
}

// addImage adds an image of a registry.
func (b *build) addImage(ctx context.Context, s manifests.Source) error {
	locked, err := b.locked(s)
	if err != nil {
		return err
	}
	remote := b.Registry
	remote.Progress = b.Progress
	return oci.AddLocked(ctx, b.store, b.tree, oci.LockedConfig{Name: s.Name(), Image: *locked.Image, Arch: b.Arch, Cache: b.imageCache(), Remote: remote})
}

// imageCache is nil, and not a nil pointer, where there is no cache.
func (b *build) imageCache() oci.Cache {
	if b.Cache == nil {
		return nil
	}
	return b.Cache
}

func overlayEntries(entries []manifests.Entry) []overlay.Entry {
	out := make([]overlay.Entry, len(entries))
	for i, e := range entries {
		out[i] = overlay.Entry{Path: e.Path, Owner: e.Owner, Group: e.Group, Mode: (*uint32)(e.Mode)}
	}
	return out
}

// readTrustRoot reads what hosts will trust, and makes sure that they can.
func (b *build) readTrustRoot() ([]byte, error) {
	const most = 64 << 10
	path := b.inFolder(b.Recipe.Update.Root)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fmt.Errorf("%s: want a root.json, a regular file of at most %d bytes", path, most)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := signing.CheckTrustRoot(data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}
