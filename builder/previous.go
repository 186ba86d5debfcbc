package builder

import (
	"context"
	"errors"
	"fmt"

	"github.com/proa-os/proa/builder/provenance"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/filemap"
)

// ErrPrevious says that the lock names another previous release than the build
// was given, or one of them none.
var ErrPrevious = errors.New("the previous release is not the lock's")

// readPrevious reads the layout that the lock says to follow.
func (b *build) readPrevious(context.Context) error {
	locked, ok := b.Lock.PreviousOf(b.Arch)
	switch {
	case !ok && b.Previous == nil:
		return nil
	case !ok:
		return fmt.Errorf("%w: it names none for %s", ErrPrevious, b.Arch)
	case b.Previous == nil:
		return fmt.Errorf("%w: it names %s, and there is none", ErrPrevious, locked.Version)
	}
	got := manifests.FetchFile{Size: int64(len(b.Previous)), Digest: manifests.DigestOf(b.Previous)}
	if got != locked.Map {
		return fmt.Errorf("%w: %s has %s, here is %s", ErrPrevious, locked.Version, locked.Map.Digest, got.Digest)
	}
	b.inputs.add(otherInputs, provenance.Input{Name: manifests.RootMapFile + " of " + string(locked.Version), Digest: got.Digest})
	var err error
	b.layout, err = filemap.ParseLayout(b.Previous)
	return err
}
