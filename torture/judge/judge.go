// Package judge says what a machine with a given disk and variables would
// boot, and whether that is whole. It reads the disk by the specifications
// alone: it shares no code with what writes disks, and knows nothing of
// journals.
//
// It plays UEFI firmware with systemd-boot 252 at the removable path, the UKI
// that this chooses, and proa-init; and then it reads what no boot reads: every
// byte of the slot and of its hash tree.
package judge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Disk is what is judged. Equal fingerprints of a part mean that it is the
// same: verdicts about it are kept.
type Disk interface {
	io.ReaderAt
	Size() int64
	Fingerprint(offset, size int64) uint64
}

// Fault is why a state must not be.
type Fault struct {
	Kind Kind
	Err  error
}

func (f *Fault) Error() string { return fmt.Sprintf("%s: %v", f.Kind, f.Err) }
func (f *Fault) Unwrap() error { return f.Err }

// Kind is what is wrong with a state.
type Kind string

// The kinds.
const (
	Unbootable Kind = "unbootable"       // no operating system comes up, or only one that nobody committed
	Unverified Kind = "unverified"       // the one that would come up is not what was released, or not whole
	Table      Kind = "table written to" // the partition table was written to
)

// Outcome is what a good state leads to.
type Outcome struct {
	Boots     Entry // by the next boot
	Committed Entry // by every boot without variables
}

// Entry is a kernel image and the slot it opens.
type Entry struct {
	File string // such as "proa-a.efi"
	Slot string // "a" or "b"
	Hash string // the root hash, in hex
	UKI  [sha256.Size]byte
}

// Judge judges states of one disk. It is not for several goroutines.
type Judge struct {
	table  []byte                     // both copies of the partition table
	places map[string]place           // by GPT name
	loader [sha256.Size]byte          // of the boot loader
	known  map[[sha256.Size]byte]bool // UKIs that were released; nil means any

	boots map[uint64]bootPart // what the boot partition says, by its fingerprint
	files map[string]image    // its large files
	slots map[slotKey]error
}

// place is a partition, in bytes.
type place struct{ start, size int64 }

// New is a judge of states of a disk that is good now. UKIs that are not known
// are unverified; known nil means that all are.
func New(disk Disk, known map[[sha256.Size]byte]bool) (*Judge, error) {
	j, err := NewSlots(disk)
	if err != nil {
		return nil, err
	}
	j.known = known
	part := j.bootPart(disk)
	if part.err != nil {
		return nil, part.err
	}
	j.loader = part.loader
	return j, nil
}

// NewSlots is a judge of disks whose boot partition is elsewhere: only for
// Slot.
func NewSlots(disk Disk) (*Judge, error) {
	j := &Judge{boots: map[uint64]bootPart{}, files: map[string]image{}, slots: map[slotKey]error{}}
	var err error
	if j.table, err = readTable(disk); err != nil {
		return nil, err
	}
	if j.places, err = parseTable(j.table[512:]); err != nil {
		return nil, err
	}
	for _, name := range []string{"esp", "root-a", "verity-a", "root-b", "verity-b"} {
		if _, ok := j.places[name]; !ok {
			return nil, fmt.Errorf("partition table: no %s", name)
		}
	}
	return j, nil
}

// Slot judges a slot for a kernel with that command line: an error is a *Fault.
func (j *Judge) Slot(disk Disk, slot, commandLine string) error {
	if err := j.sameTable(disk); err != nil {
		return err
	}
	r, err := parseCommandLine(commandLine)
	if err != nil {
		return &Fault{Unbootable, err}
	}
	top, err := j.holds(disk, slot, r)
	switch {
	case err != nil:
		return err
	case !top:
		return &Fault{Unbootable, fmt.Errorf("slot %s has another root", slot)}
	}
	return j.whole(disk, slot, r)
}

func (j *Judge) sameTable(disk Disk) error {
	table, err := readTable(disk)
	if err != nil {
		return &Fault{Table, err}
	}
	if at := firstDifference(j.table, table); at >= 0 {
		return &Fault{Table, fmt.Errorf("byte %d of the partition table was changed", at)}
	}
	return nil
}

// State judges a state: an error is a *Fault.
func (j *Judge) State(disk Disk, variables Variables) (Outcome, error) {
	if err := j.sameTable(disk); err != nil {
		return Outcome{}, err
	}
	part := j.bootPart(disk)
	switch {
	case part.err != nil:
		return Outcome{}, &Fault{Unbootable, part.err}
	case part.loader != j.loader:
		return Outcome{}, &Fault{Unbootable, errors.New("the boot loader was changed")}
	}
	var out Outcome
	var err error
	if out.Committed, err = j.entry(disk, part, part.wanted); err != nil {
		return Outcome{}, fmt.Errorf("the committed entry: %w", err)
	}
	out.Boots = out.Committed
	for _, name := range []string{variables.OneShot, variables.Default} {
		if _, ok := part.entries[strings.ToLower(name)]; !ok {
			continue // none, or one that is not there: the loader goes on to the next
		}
		if out.Boots, err = j.entry(disk, part, strings.ToLower(name)); err != nil {
			return Outcome{}, fmt.Errorf("the entry that a variable names: %w", err)
		}
		break
	}
	return out, nil
}

// entry judges one entry of the loader, by its name.
func (j *Judge) entry(disk Disk, part bootPart, name string) (Entry, error) {
	i, ok := part.entries[name]
	switch {
	case name == "":
		return Entry{}, &Fault{Unbootable, errors.New("loader.conf names no entry: the loader takes the highest version")}
	case !ok:
		return Entry{}, &Fault{Unbootable, fmt.Errorf("there is no %s: the loader takes the highest version", name)}
	case i.err != nil:
		return Entry{}, &Fault{Unbootable, fmt.Errorf("%s does not load: %w", name, i.err)}
	case j.known != nil && !j.known[i.digest]:
		return Entry{}, &Fault{Unverified, fmt.Errorf("%s is not one that was released", name)}
	}
	for _, slot := range []string{"a", "b"} {
		top, err := j.holds(disk, slot, i.root)
		if err != nil {
			return Entry{}, err
		}
		if !top {
			continue
		}
		if err := j.whole(disk, slot, i.root); err != nil {
			return Entry{}, fmt.Errorf("%s boots it: %w", name, err)
		}
		return Entry{File: name, Slot: slot, Hash: fmt.Sprintf("%x", i.root.hash), UKI: i.digest}, nil
	}
	return Entry{}, &Fault{Unbootable, fmt.Errorf("no slot has the root of %s", name)}
}

// holds reports whether proa-init would take the slot for that root.
func (j *Judge) holds(disk Disk, slot string, r root) (bool, error) {
	data, tree := j.places["root-"+slot], j.places["verity-"+slot]
	if data.size < r.blocks*block || tree.size < (1+r.treeBlocks())*block {
		return false, nil
	}
	top, err := r.top(io.NewSectionReader(disk, tree.start, tree.size))
	if err != nil {
		return false, &Fault{Unbootable, err}
	}
	return top, nil
}

// whole judges every byte of a slot that holds the root.
func (j *Judge) whole(disk Disk, slot string, r root) error {
	data, tree := j.places["root-"+slot], j.places["verity-"+slot]
	key := slotKey{
		slot: slot, hash: string(r.hash),
		data: disk.Fingerprint(data.start, r.blocks*block),
		tree: disk.Fingerprint(tree.start, (1+r.treeBlocks())*block),
	}
	verdict, kept := j.slots[key]
	if !kept {
		verdict = r.verify(io.NewSectionReader(disk, data.start, data.size), io.NewSectionReader(disk, tree.start, tree.size))
		j.slots[key] = verdict
	}
	if verdict != nil {
		return &Fault{Unverified, fmt.Errorf("slot %s: %w", slot, verdict)}
	}
	return nil
}

type slotKey struct {
	slot, hash string
	data, tree uint64
}
