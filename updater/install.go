package updater

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/slots"
)

// contentError makes what a fetch or a slot reports a matter of trust or of
// the network.
func contentError(err error) error {
	var network *fetch.Error
	switch {
	case errors.Is(err, fetch.ErrContent), errors.Is(err, slots.ErrContent):
		return &UntrustedError{err}
	case errors.As(err, &network):
		return &NetworkError{err}
	}
	return err
}

// writeRoot is step 5.
func (i *installation) writeRoot(ctx context.Context) error {
	resume, err := i.worthReading()
	if err != nil {
		return err
	}
	return i.report("write root image", i.offer.Root.Size(), func(step progress.Step) error {
		filled, err := i.slot.Fill(ctx, slots.Filling{
			Image:  i.offer.image(),
			Source: i.source,
			Resume: resume,
			Synced: func(offset int64) error {
				return i.write(func(r *journal.Record) { r.Offset = offset })
			},
			Step: step,
		})
		i.done.Downloaded += filled.Fetched
		i.done.Reused += filled.Reused
		return contentError(err)
	})
}

// source is where the root image comes from.
func (i *installation) source(ctx context.Context, from, to int64) io.ReadCloser {
	image := i.offer.Transport.Root
	return i.fetch.Range(ctx, manifests.ArtifactPath(image.Digest), image.Size, from, to)
}

// worthReading reports whether the slot may hold a part of the image: reading
// all of it in vain costs as much as a third of a download from nearby. One hint
// is a journal that was about this image before, whatever it had come to: nothing
// that an attempt left whole in the slot is fetched again. The other, for a
// journal that was lost, is the first chunk, which holds the superblock and so is
// like no other release's.
func (i *installation) worthReading() (bool, error) {
	if i.again {
		return true, nil
	}
	image := i.offer.image()
	first := make([]byte, image.Chunks[0].Size)
	if _, err := i.slot.Root.ReadAt(first, 0); err != nil {
		return false, fmt.Errorf("reading what the slot holds: %w", err)
	}
	leaves := verity.LeafHashes(nil, image.Root.Salt, first)
	return chunkindex.DigestOf(leaves) == image.Chunks[0].Digest, nil
}

// writeTree is step 6: the leaf level is there already.
func (i *installation) writeTree(ctx context.Context) error {
	return contentError(i.slot.CompleteTree(ctx, i.offer.image()))
}

// verify is step 7. The image was read back from the medium and verified while
// it was written, each part after it was synced; the tree is read now.
func (i *installation) verify(ctx context.Context) error {
	if err := i.slot.VerifyFilled(ctx, i.offer.image()); err != nil {
		return err
	}
	return i.write(func(r *journal.Record) { r.Phase, r.Offset = journal.Verified, 0 })
}
