package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/proa-os/proa/partitions/factoryreset"
)

// forgetSize is how much of the start of var a factory reset makes zero, in
// bytes: the superblock of any file system, and all that a LUKS2 header needs to
// be opened with (its key slots end at 16 MiB).
const forgetSize = 32 << 20

// medium is what a factory reset does with a partition.
type medium interface {
	io.WriterAt
	Sync() error
}

// grantReset does the factory reset that the agent was asked for, if it was:
// what is on var is forgotten, and var is blank, as at a first boot. With the
// error var is not to be used: it was to be forgotten, and part of it may be.
func (b *boot) grantReset(device string) error {
	state, err := b.openState()
	if err != nil {
		return nil // nobody can have asked; countBoot has said why
	}
	defer state.Close()
	wish, err := factoryreset.Read(state)
	if err != nil {
		if !errors.Is(err, factoryreset.ErrNone) {
			b.log.fault("%v", err)
		}
		return nil
	}
	b.log.fault("factory reset, asked for %s: forgetting %s", wish.When.Format(time.RFC3339), device)
	target, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("factory reset: %w", err)
	}
	defer target.Close()
	size, err := target.Seek(0, io.SeekEnd)
	if err == nil {
		err = forget(state, target, size, b.feedWatchdog())
	}
	if err != nil {
		return fmt.Errorf("factory reset: %w", err)
	}
	b.forgotten = true
	return nil
}

// forget makes var blank, and then clears the wish. The wish stays until var is
// blank on the disk: a cut before that leaves it, and the next boot begins again.
// When it is gone nothing of the old var can be found, and nothing of a new one is
// there yet that a second reset could take.
func forget(state, device medium, size int64, progress func()) error {
	zeros := make([]byte, 1<<20)
	zero := func(from, to int64) error {
		for at := from; at < to; {
			n := min(to-at, int64(len(zeros)))
			if _, err := device.WriteAt(zeros[:n], at); err != nil {
				return err
			}
			at += n
			progress()
		}
		return nil
	}
	head := min(size, forgetSize)
	if err := zero(0, head); err != nil {
		return err
	}
	if err := zero(max(head, size-tailSize), size); err != nil {
		return err
	}
	if err := device.Sync(); err != nil {
		return err
	}
	if _, err := state.WriteAt(factoryreset.None(), factoryreset.Offset); err != nil {
		return err
	}
	return state.Sync()
}
