// Package esp says what is on the boot partition of a proa disk: the fixed
// file names, and the one file that says which slot is committed.
//
// The committed slot is the letter in the "default" line of loader/loader.conf.
// The file has a fixed length below one sector, so that one byte, overwritten
// in place, moves the machine to the other slot: no folder entry and no
// allocation table changes, and a power cut leaves the old letter or the new
// one. The package names and parses; it never writes (see fat for reading a
// boot partition without mounting it).
package esp

import (
	"bytes"
	"fmt"

	"github.com/proa-os/proa/partitions"
)

// The folders and files on the boot partition, relative to its root, with
// slashes.
const (
	LoaderFolder   = "EFI/BOOT"
	UKIFolder      = "EFI/Linux" // Boot Loader Specification (UAPI.1), type #2 entries
	ConfFolder     = "loader"
	LoaderConfPath = ConfFolder + "/loader.conf"
)

// LoaderPath is where firmware looks for a boot loader when it has no boot
// entry (UEFI Specification 2.10, section 3.5.1.1): "EFI/BOOT/BOOTX64.EFI"; arch
// is "amd64" or "arm64".
func LoaderPath(arch string) string {
	if arch == "arm64" {
		return LoaderFolder + "/BOOTAA64.EFI"
	}
	return LoaderFolder + "/BOOTX64.EFI"
}

// UKIPath is the place of a slot's unified kernel image: "EFI/Linux/proa-a.efi".
func UKIPath(slot partitions.Slot) string { return UKIFolder + "/" + slot.UKI() }

// TempUKIPath is where a slot's unified kernel image is written before it gets
// its name. It does not end in ".efi", so the loader passes over it, and it is
// its own short name on FAT.
func TempUKIPath(slot partitions.Slot) string {
	return UKIFolder + "/proa-" + slot.String() + ".new"
}

const confBefore = "default proa-"

// confAfter is the rest of loader.conf (see loader.conf(5)). Older
// loaders do not know reboot-on-error and pass over it in silence, as they do
// with every key that they do not know.
const confAfter = ".efi\n" +
	"timeout 0\n" +
	"editor no\n" +
	"reboot-on-error yes\n"

// LetterOffset is where the committed slot's letter is in loader.conf, in
// bytes.
const LetterOffset = int64(len(confBefore))

// LoaderConfSize is the length of loader.conf in bytes, for either slot.
const LoaderConfSize = int64(len(confBefore) + 1 + len(confAfter))

// LoaderConf is the whole of loader/loader.conf while the given slot is
// committed. Between slots it differs in the byte at LetterOffset alone.
func LoaderConf(slot partitions.Slot) []byte {
	return []byte(confBefore + slot.String() + confAfter)
}

// ParseCommitted reads the committed slot from the content of loader.conf,
// which must be LoaderConf of one slot to the byte: the loader would obey
// other spellings as well, but no step of ours makes them, so they are damage
// or somebody's edit, and nothing may be derived from them.
func ParseCommitted(content []byte) (partitions.Slot, error) {
	for _, slot := range partitions.Slots() {
		if bytes.Equal(content, LoaderConf(slot)) {
			return slot, nil
		}
	}
	const most = 120
	shown, more := content, ""
	if len(shown) > most {
		shown, more = shown[:most], "…"
	}
	return 0, fmt.Errorf("%s of %d bytes %q%s: want exactly the %d bytes that commit slot a or b",
		LoaderConfPath, len(content), shown, more, LoaderConfSize)
}
