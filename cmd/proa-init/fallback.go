package main

import (
	"encoding/binary"
	"io"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/verity"
)

// mostFallbacks is how often in a row a boot that finds no root asks for the
// other slot. With both slots rotten, the machine then resets into the
// committed one for ever, and no longer writes variables.
const mostFallbacks = 3

// fallBack asks the boot loader to try the other slot once, after this one
// could not be opened: a committed slot can rot, and a plain reset would boot
// it again. For a trial the other slot is the committed one, to which a plain
// reset leads as well.
//
// It is a best effort. Neither the ESP nor the other slot's root hash can be
// read from here: if the other UKI is not there, the boot loader ignores the
// wish; if the other root does not match its UKI, that boot ends up here too.
// A release that was given up after a failed health check may be booted this
// way; better that than nothing, and the agent there knows.
//
// Corruption that shows only after the root was opened resets the machine
// (devmapper.Restart) and comes here by countBoot.
func (b *boot) fallBack() (partitions.Slot, bool) {
	if b.rootOpen || b.options.Live {
		return 0, false // something else is wrong, or there are no slots
	}
	if b.next != 0 {
		return b.next, true
	}
	store := variables(efiVariables)
	count := byte(0)
	if value, err := store.read(fallbackCount, proaVendor); err == nil && len(value) == 1 {
		count = value[0]
	}
	next, ok := otherSlot(b.selected, count, b.disks)
	if !ok {
		return 0, false
	}
	// The count first: without it, the other slot could send us back for ever.
	if err := store.write(fallbackCount, proaVendor, []byte{count + 1}); err != nil {
		b.log.fault("counting fallbacks: %v", err)
		return 0, false
	}
	if err := store.write(entryOneShot, loaderVendor, encodeUTF16(next.UKI())); err != nil {
		b.log.fault("setting %s: %v", entryOneShot, err)
		return 0, false
	}
	b.next = next
	return next, true
}

// otherSlot is the slot to try after selected failed, if there is any point.
func otherSlot(selected partitions.Slot, count byte, disks []disk) (partitions.Slot, bool) {
	if selected == 0 || count >= mostFallbacks {
		return 0, false
	}
	for _, d := range disks {
		if looksWhole(d, selected.Other()) {
			return selected.Other(), true
		}
	}
	return 0, false
}

// looksWhole reports whether a slot has a superblock for its hash tree and
// one for its file system, which an update writes last and first.
func looksWhole(d disk, slot partitions.Slot) bool {
	tree, ok := d.partition(slot.Verity())
	root, haveRoot := d.partition(slot.Root())
	if !ok || !haveRoot || tree.Size < verity.BlockSize || root.Size < verity.BlockSize {
		return false
	}
	block := make([]byte, verity.BlockSize)
	if _, err := io.ReadFull(io.NewSectionReader(d.file, tree.Start, tree.Size), block); err != nil {
		return false
	}
	if _, err := verity.ParseSuperblock(block); err != nil {
		return false
	}
	if _, err := io.ReadFull(io.NewSectionReader(d.file, root.Start, root.Size), block); err != nil {
		return false
	}
	const erofsOffset, erofsMagic = 1024, 0xe0f5e1e2
	return binary.LittleEndian.Uint32(block[erofsOffset:]) == erofsMagic
}

// forgetFallbacks starts the count anew, once a root was found and opened.
func (b *boot) forgetFallbacks() {
	value, err := variables(efiVariables).read(fallbackCount, proaVendor)
	if err != nil {
		return
	}
	if len(value) == 1 {
		b.fallbacks = int(value[0])
	}
	if err := variables(efiVariables).remove(fallbackCount, proaVendor); err != nil {
		b.log.info("forgetting fallbacks: %v", err)
	}
}
