package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/overlay"
	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
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
		return b.addStream(ctx, s, b.Stdin)
	case s.Tar != "":
		return b.addTar(ctx, s)
	case s.InRegistry():
		return b.addImage(ctx, s)
	case s.OCI != "":
		path, ref := b.imageOnHost(s)
		return oci.Add(ctx, b.store, b.tree, oci.Config{Name: s.Name(), Path: path, Arch: b.Arch, Ref: ref, Cache: b.imageCache(), Progress: b.Progress})
	case s.Deb != nil:
		return b.addPackages(ctx, s, b.debManager(s))
	case s.RPM != nil:
		return b.addRPM(ctx, s)
	default:
		return overlay.Add(ctx, b.store, b.tree, overlay.Config{Name: s.Name(), Dir: b.inFolder(s.Dir), Entries: overlayEntries(s.Entries)})
	}
}

// addTar adds an archive of this machine, or what a pipe gives.
func (b *build) addTar(ctx context.Context, s manifests.Source) error {
	path := b.onHost(s, s.Tar)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name(), err)
	}
	if info.Mode().IsRegular() || info.IsDir() {
		return tarball.Add(ctx, b.store, b.tree, tarball.Config{Name: s.Name(), Path: path, Progress: b.Progress})
	}
	if b.lockedFile(s) != nil {
		return fmt.Errorf("%s: %w: %w", s.Name(), resolve.ErrPipe, ErrChanged)
	}
	pipe, err := os.Open(path)
	if err != nil {
		return err
	}
	defer pipe.Close()
	return b.addStream(ctx, s, pipe)
}

// addStream adds an archive that can be read once.
func (b *build) addStream(ctx context.Context, s manifests.Source, r io.Reader) error {
	return tarball.Add(ctx, b.store, b.tree, tarball.Config{Name: s.Name(), Reader: b.inputs.digestStream(s, r), Progress: b.Progress})
}

// onHost is where an archive of a source is: where the recipe says, or among
// what was vendored.
func (b *build) onHost(s manifests.Source, written string) string {
	if locked, ok := b.vendored(s); ok {
		if path, ok := b.Cache.Blob(locked.File.Digest); ok {
			return path
		}
	}
	return b.inFolder(written)
}

// imageOnHost is where an image of this machine is, and its name there. Of one
// that was in a layout folder, its manifest is known, which is in the layout that
// was vendored.
func (b *build) imageOnHost(s manifests.Source) (path, ref string) {
	path = b.onHost(s, s.OCI)
	locked, err := b.locked(s)
	if err != nil || locked.File == nil {
		return path, s.Ref
	}
	digest := locked.File.Digest.String()
	if path == b.inFolder(s.OCI) {
		// Its index may be another one by now: it is read by digest, too.
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path, digest
		}
		return path, s.Ref
	}
	layout, _ := b.Cache.Foreign(locked.File.Digest)
	index, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err == nil && bytes.Contains(index, []byte(digest)) {
		return layout, digest
	}
	return path, s.Ref
}

// vendored is what the lock says of an archive that is not where the recipe
// says, but in the cache or among what was vendored.
func (b *build) vendored(s manifests.Source) (manifests.Locked, bool) {
	if _, err := os.Stat(b.inFolder(s.Tar + s.OCI)); !errors.Is(err, fs.ErrNotExist) || b.Cache == nil {
		return manifests.Locked{}, false
	}
	locked, err := b.locked(s)
	if err != nil || locked.File == nil {
		return manifests.Locked{}, false
	}
	_, ok := b.Cache.Blob(locked.File.Digest)
	return locked, ok
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
	data, err := regular.Read(path, most)
	if err != nil {
		return nil, fmt.Errorf("root.json: %w", err)
	}
	if err := signing.CheckTrustRoot(data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b.inputs.addFile(b.Recipe.Update.Root, data)
	return data, nil
}
