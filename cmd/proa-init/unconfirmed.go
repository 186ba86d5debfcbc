package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/bootcount"
	"github.com/proa-os/proa/partitions/verity"
)

// mostUnconfirmed is how many boots in a row of a slot may end without the
// agent's word that the system came up, before the slot is read from end to end.
const mostUnconfirmed = 3

// countBoot finds the slot that opens, and then resets the machine again and
// again: dm-verity is lazy, and a corrupt block shows when it is read, which may
// be late. After mostUnconfirmed such boots it reads the whole slot, and
// gives it up if it is corrupt and there is another one. Where there is none, a
// machine that comes up for a while is better than one that does not.
//
// A state partition that cannot be read or written is no obstacle.
func (b *boot) countBoot() error {
	state, err := b.openState()
	if err != nil {
		b.log.info("counting boots: %v", err)
		return nil
	}
	defer state.Close()
	verify := func() error { return verifySlot(*b.found, b.options.Root, b.feedWatchdog()) }
	b.unconfirmed, err = count(state, *b.found, b.options.Root, verify, b.log)
	if err == nil {
		return nil
	}
	b.damaged = true
	if _, ok := b.fallBack(); ok {
		return err
	}
	b.log.fault("%v; there is no other slot to go to: booting it all the same", err)
	return nil
}

// openState opens the state partition of the root's disk.
func (b *boot) openState() (*os.File, error) {
	p, ok := b.found.disk.partition(partitions.RoleState)
	if !ok {
		return nil, fmt.Errorf("%s has no partition %s", b.found.disk.path(), partitions.RoleState)
	}
	node, err := nodeOf(b.found.disk, p, "/sys/block", nodeWait)
	if err != nil {
		return nil, err
	}
	return os.OpenFile(node, os.O_RDWR|unix.O_SYNC, 0)
}

// stateFile is what counting does with the state partition.
type stateFile interface {
	io.ReaderAt
	io.WriterAt
}

// count notes one more boot and returns how many before it were not confirmed.
// The error is that of verify: the slot is corrupt. It then stays suspect, so
// that the next boot of it reads it first.
func count(state stateFile, f found, root verity.Root, verify func() error, log *kernelLog) (int, error) {
	record, err := bootcount.Read(state)
	if err != nil {
		log.info("counting boots anew: %v", err)
	}
	unconfirmed := record.Unconfirmed(f.slot, root.Hash)
	next := record.Begin(f.slot, root.Hash)
	var corrupt error
	if unconfirmed >= mostUnconfirmed {
		log.fault("%d boots of slot %s in a row did not come up: reading all of it", unconfirmed, f.slot)
		if corrupt = verify(); corrupt == nil {
			log.info("slot %s is whole", f.slot)
			next = record.Confirm(f.slot, root.Hash).Begin(f.slot, root.Hash)
		}
	}
	if bytes.Equal(next.Bytes(), record.Bytes()) {
		return unconfirmed, corrupt
	}
	if _, err := state.WriteAt(next.Bytes(), bootcount.Offset); err != nil {
		log.info("counting boots: %v", err)
	}
	return unconfirmed, corrupt
}

// verifySlot reads a whole slot, past dm-verity, which would only reset the
// machine. It calls progress as long as it gets ahead.
func verifySlot(f found, root verity.Root, progress func()) error {
	section := func(p partitions.Partition) io.ReaderAt { return io.NewSectionReader(f.disk.file, p.Start, p.Size) }
	err := verity.Verify(context.Background(), verity.Check{
		Root:   root,
		Data:   section(f.root),
		Stored: section(f.verity),
		Done:   func(int64) { progress() },
		Most:   1,
	})
	if err != nil {
		return fmt.Errorf("slot %s: %w", f.slot, err)
	}
	return nil
}

// feedWatchdog returns what gives the watchdog a sign of life: reading a slot
// takes longer than it waits.
func (b *boot) feedWatchdog() func() {
	if b.options.Watchdog == 0 {
		return func() {}
	}
	ticks := time.NewTicker(time.Second)
	return func() {
		select {
		case <-ticks.C:
		default:
			return
		}
		// Closing it without a word does not stop it.
		if device, err := os.OpenFile(watchdogPath, os.O_WRONLY, 0); err == nil {
			_, _ = device.Write([]byte{0})
			device.Close()
		}
	}
}
