package esp

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/proa-os/proa/partitions"
)

// Layout is how loader.conf names the committed slot, and with it how a trial
// is begun (docs/reference/boot-control.md).
type Layout string

// The layouts.
const (
	LayoutOneShot Layout = "oneshot" // a trial is an EFI variable
	LayoutCounted Layout = "counted" // a trial is an entry with a counter in its name
)

// EntriesFolder has the entries of the counted layout (Boot Loader
// Specification, type #1), and may be missing in the other.
const EntriesFolder = ConfFolder + "/entries"

const (
	keyDefault    = "default "
	patternBefore = "*-"
	patternAfter  = "[.+]??*"
)

// Where loader.conf differs between layouts, in bytes.
const (
	PatternOffset = int64(len(keyDefault))
	PatternSize   = int64(len("proa-a.efi"))
)

// Letter is where the committed slot's letter is in loader.conf, in bytes.
func (l Layout) Letter() int64 {
	if l == LayoutCounted {
		return PatternOffset + int64(len(patternBefore))
	}
	return LetterOffset
}

// Conf is the whole of loader.conf while the given slot is committed. All
// layouts have the same length, and differ in the PatternSize bytes at
// PatternOffset alone.
func (l Layout) Conf(slot partitions.Slot) []byte {
	if l == LayoutCounted {
		return []byte(keyDefault + patternBefore + slot.String() + patternAfter + strings.TrimPrefix(confAfter, ".efi"))
	}
	return LoaderConf(slot)
}

// ParseLoaderConf reads the layout and the committed slot from the content of
// loader.conf, as strictly as ParseCommitted.
func ParseLoaderConf(content []byte) (Layout, partitions.Slot, error) {
	for _, slot := range partitions.Slots() {
		if bytes.Equal(content, LayoutCounted.Conf(slot)) {
			return LayoutCounted, slot, nil
		}
	}
	slot, err := ParseCommitted(content)
	return LayoutOneShot, slot, err
}

// EntryNameMost is the most characters of a name that one long-name entry of
// FAT holds: with more, a power cut could join the halves of two names.
const EntryNameMost = 13

// CountMost is the highest count in the name of an entry.
const CountMost = 9

// Entry is the name of a counted entry: "t-a+1-0.conf".
type Entry struct {
	// Proof tells an entry that only shows that the firmware counts, and boots
	// the committed slot, from a trial, which boots the other.
	Proof     bool
	Committed partitions.Slot // the loader considers the entry while this slot is committed
	Left      int             // boots that are left, 0 to CountMost
	Done      int             // boots that the loader has counted, 0 to CountMost
}

// ParseEntry reads a file name, in which case does not matter on FAT. It is
// strict: the loader reads other spellings, but no step of ours makes them.
func ParseEntry(name string) (Entry, error) {
	const form = "t-a+1-0.conf"
	lower := strings.ToLower(name)
	if len(lower) == len(form) {
		e := Entry{Proof: lower[0] == 'p', Left: int(lower[4]) - '0', Done: int(lower[6]) - '0'}
		e.Committed, _ = partitions.ParseSlot(lower[2:3])
		if e.Committed != 0 && 0 <= e.Left && e.Left <= CountMost && 0 <= e.Done && e.Done <= CountMost && e.Name() == lower {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("boot entry %.40q: want a name such as %s", name, form)
}

func (e Entry) prefix() string {
	if e.Proof {
		return "p-" + e.Committed.String()
	}
	return "t-" + e.Committed.String()
}

// Name is the entry's file name.
func (e Entry) Name() string { return fmt.Sprintf("%s+%d-%d.conf", e.prefix(), e.Left, e.Done) }

// Boots is the slot that the entry boots.
func (e Entry) Boots() partitions.Slot {
	if e.Proof {
		return e.Committed
	}
	return e.Committed.Other()
}

// Content is the whole of the entry's file. Its sort key is lower than that of
// any kernel image, whatever their versions are.
func (e Entry) Content() []byte {
	title := "proa trial"
	if e.Proof {
		title = "proa proof"
	}
	return fmt.Appendf(nil, "title %s\nsort-key !\nefi /%s\n", title, UKIPath(e.Boots()))
}

// MatchesDefault reports whether the loader considers an entry with this id
// while the slot is committed in the counted layout.
func MatchesDefault(id string, committed partitions.Slot) bool {
	id = strings.ToLower(id)
	for at := 0; ; at++ {
		next := strings.Index(id[at:], "-"+committed.String())
		if next < 0 {
			return false
		}
		at += next
		rest := id[at+2:]
		if len(rest) >= 3 && (rest[0] == '.' || rest[0] == '+') {
			return true
		}
	}
}

// SlotOfEntry is the slot that an id of the loader stands for: the name of a
// kernel image, or of a counted entry. Loaders differ in whether they leave
// the counter in the id.
func SlotOfEntry(id string) (partitions.Slot, bool) {
	if slot, ok := partitions.SlotOfUKI(id); ok {
		return slot, true
	}
	if prefix, ok := strings.CutSuffix(strings.ToLower(id), ".conf"); ok && !strings.Contains(id, "+") {
		id = prefix + "+0-0.conf"
	}
	e, err := ParseEntry(id)
	if err != nil {
		return 0, false
	}
	return e.Boots(), true
}
