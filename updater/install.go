package updater

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/slots"
	"github.com/proa-os/proa/updater/sources"
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
	return i.report("write root image", i.offer.Root.Size(), func(step progress.Step) error {
		return i.metered(func() error { return contentError(i.fill(ctx, step)) })
	})
}

// metered notes what comes from the network while it runs.
func (i *installation) metered(run func() error) error {
	received := func() int64 {
		return i.quarters.sources.Received(sources.Repository) + i.quarters.sources.Received(sources.Neighbour)
	}
	before := received()
	err := run()
	i.done.Downloaded += received() - before
	return err
}

// fill writes the image by the supply that was found. What a delta does not make is
// found by the chunk index; nothing that is in the slot by then is made again.
func (i *installation) fill(ctx context.Context, step progress.Step) error {
	resume, err := i.worthReading()
	if err != nil {
		return err
	}
	told := &teller{step: step}
	filled, err := i.fillBy(ctx, resume, told)
	i.done.Reused = filled.Reused
	if err != nil || filled.Missing == 0 {
		return err
	}
	i.note("the delta did not make %d bytes of the image: %v", filled.Missing, cause(filled.Why))
	if i.supply, err = i.quarters.byIndex(ctx); err != nil {
		return err
	}
	told.before, told.done = told.done, 0
	again, err := i.fillBy(ctx, true, told)
	i.done.Reused = max(i.done.Reused, again.Reused-filled.Copied-filled.Patched)
	return err
}

func (i *installation) fillBy(ctx context.Context, resume bool, step progress.Step) (slots.Filled, error) {
	filling := i.quarters.filling(i.supply)
	filling.Resume, filling.Step = resume, step
	filling.Synced = func(offset int64) error {
		return i.write(func(r *journal.Record) { r.Offset = offset })
	}
	filled, err := i.slot.Fill(ctx, filling)
	i.done.Path = i.supply.path
	i.done.Copied += filled.Copied
	i.done.Patched += filled.Patched
	if filled.Damaged > 0 {
		i.note("slot %s does not hold %d bytes as it should; once slot %s runs, 'proa-agent repair' replaces them", i.facts.Slot, filled.Damaged, i.target.Slot)
	}
	return filled, err
}

func (i *installation) note(format string, args ...any) {
	i.done.Notes = append(i.done.Notes, fmt.Sprintf(format, args...))
}

func cause(err error) error {
	if err == nil {
		return errors.New("nobody has them")
	}
	return err
}

// teller tells a step of the bytes that are done for the first time.
type teller struct {
	step   progress.Step
	mu     sync.Mutex
	done   int64 // as far as this attempt is
	before int64 // how far the one before it was
}

// Add implements progress.Step.
func (t *teller) Add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done += n
	if news := min(n, t.done-t.before); news > 0 {
		t.step.Add(news)
	}
}

// Done implements progress.Step.
func (t *teller) Done(err error) { t.step.Done(err) }

// worthReading reports whether the slot may hold a part of the image, wherever that
// may be: reading all of it in vain costs as much as a third of a download from
// nearby. One hint is a journal that was about this image before, whatever it had come
// to: nothing that an attempt left whole in the slot is fetched again. The other, for
// a journal that was lost, is the first chunk, which holds the superblock and so is
// like no other release's.
func (i *installation) worthReading() (bool, error) {
	if i.again {
		return true, nil
	}
	image := i.supply.image
	first := make([]byte, image.Chunks[0].Size)
	if _, err := i.slot.Root.ReadAt(first, 0); err != nil {
		return false, fmt.Errorf("reading what the slot holds: %w", err)
	}
	leaves := verity.LeafHashes(nil, image.Root.Salt, first)
	return chunkindex.DigestOf(leaves) == image.Chunks[0].Digest, nil
}

// writeTree is step 6: the leaf level is there already.
func (i *installation) writeTree(ctx context.Context) error {
	return contentError(i.slot.CompleteTree(ctx, i.supply.image))
}

// verify is step 7. The image was read back from the medium and verified while
// it was written, each part after it was synced; the tree is read now.
func (i *installation) verify(ctx context.Context) error {
	if err := i.slot.VerifyFilled(ctx, i.supply.image); err != nil {
		return err
	}
	return i.write(func(r *journal.Record) { r.Phase, r.Offset = journal.Verified, 0 })
}
