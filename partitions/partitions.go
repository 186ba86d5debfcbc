// Package partitions says what is where on a proa disk: the two slots, the
// role of each partition, their type GUIDs, the fixed names on the ESP, and the
// layout that a disk image is made with.
//
// The package itself computes and names; its sub-packages read and write:
// gpt (partition tables), diskimage (making a disk image), esp (the boot
// partition's files), verity (hash trees).
package partitions

import (
	"fmt"
	"strings"
)

// Slot is one of the two places that hold a release.
type Slot byte

// The two slots.
const (
	SlotA Slot = 'a'
	SlotB Slot = 'b'
)

// Slots lists both, in order.
func Slots() [2]Slot { return [2]Slot{SlotA, SlotB} }

// ParseSlot reads "a" or "b".
func ParseSlot(s string) (Slot, error) {
	switch s {
	case "a":
		return SlotA, nil
	case "b":
		return SlotB, nil
	}
	return 0, fmt.Errorf("slot %q: want a or b", s)
}

// Other is the slot an update may write while s is running.
func (s Slot) Other() Slot {
	if s == SlotA {
		return SlotB
	}
	return SlotA
}

// String is "a" or "b".
func (s Slot) String() string {
	if s != SlotA && s != SlotB {
		return "none"
	}
	return string(rune(s))
}

// MarshalText implements encoding.TextMarshaler.
func (s Slot) MarshalText() ([]byte, error) {
	if s != SlotA && s != SlotB {
		return nil, fmt.Errorf("slot %d: want a or b", byte(s))
	}
	return []byte{byte(s)}, nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Slot) UnmarshalText(text []byte) error {
	parsed, err := ParseSlot(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// UKI is the file name of s's unified kernel image in EFI/Linux on the ESP,
// which is also its boot entry id for systemd-boot.
func (s Slot) UKI() string { return "proa-" + s.String() + ".efi" }

// SlotOfUKI is the slot whose UKI has the given file name, compared as FAT
// does, without regard to case.
func SlotOfUKI(name string) (Slot, bool) {
	for _, s := range Slots() {
		if strings.EqualFold(name, s.UKI()) {
			return s, true
		}
	}
	return 0, false
}

// Role is what a partition is for. Its text is also the partition's GPT name.
type Role string

// The roles, in the order of the partitions on the disk.
const (
	RoleESP     Role = "esp"
	RoleRootA   Role = "root-a"
	RoleVerityA Role = "verity-a"
	RoleRootB   Role = "root-b"
	RoleVerityB Role = "verity-b"
	RoleState   Role = "state"
	RoleVar     Role = "var"
)

// The roles of the medium that a live system starts from, where RoleESP is the
// third. No disk of a machine has them, so that a machine cannot take a medium that
// was left in it for its disk, or the reverse.
const (
	RoleLiveRoot   Role = "live-root"
	RoleLiveVerity Role = "live-verity"
)

// Roles lists those of a machine's disk, in order.
func Roles() []Role {
	return []Role{RoleESP, RoleRootA, RoleVerityA, RoleRootB, RoleVerityB, RoleState, RoleVar}
}

// Root is the role of the partition that holds s's root file system.
func (s Slot) Root() Role { return Role("root-" + s.String()) }

// Verity is the role of the partition that holds s's hash tree.
func (s Slot) Verity() Role { return Role("verity-" + s.String()) }
