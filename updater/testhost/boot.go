package testhost

import (
	"bytes"
	"context"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/verity"
)

const loaderVendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// SetVariable stores a variable of the boot loader.
func (h *Host) SetVariable(t testing.TB, name, text string) {
	t.Helper()
	raw := []byte{7, 0, 0, 0}
	for _, unit := range utf16.Encode([]rune(text + "\x00")) {
		raw = append(raw, byte(unit), byte(unit>>8))
	}
	check(t, os.WriteFile(h.Path("efivars/"+name+"-"+loaderVendor), raw, 0o600))
}

// Variable is the text of a variable of the boot loader, or "".
func (h *Host) Variable(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(h.Path("efivars/" + name + "-" + loaderVendor))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	check(t, err)
	var units []uint16
	for i := 4; i+1 < len(raw); i += 2 {
		units = append(units, uint16(raw[i])|uint16(raw[i+1])<<8)
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00")
}

// Booted is what a boot came to.
type Booted struct {
	Slot    partitions.Slot
	Release *Release
}

// Boot boots, and ends the test when that does not lead to a whole release.
func (h *Host) Boot(t testing.TB) Booted {
	t.Helper()
	booted, err := h.TryBoot(t)
	check(t, err)
	return booted
}

// TryBoot plays systemd-boot 252 and proa-init, and then reads the whole slot.
// An error means that this machine does not come up, or with content that is
// not what its kernel image names.
func (h *Host) TryBoot(t testing.TB) (Booted, error) {
	t.Helper()
	name, err := h.chooseEntry(t)
	if err != nil {
		return Booted{}, err
	}
	h.SetVariable(t, "LoaderEntrySelected", name)
	line, err := commandLine(h.Path("esp/EFI/Linux/" + name))
	if err != nil {
		return Booted{}, fmt.Errorf("%s does not load: %w", name, err)
	}
	boot, err := cmdline.Parse(line)
	if err != nil {
		return Booted{}, err
	}
	disk, err := os.Open(h.Path("disk.raw"))
	if err != nil {
		return Booted{}, err
	}
	defer disk.Close()
	for _, slot := range partitions.Slots() {
		tree := h.section(disk, slot.Verity())
		if holds, err := boot.Root.Holds(tree); err != nil || !holds {
			continue
		}
		err := verity.Verify(context.Background(), verity.Check{
			Root: boot.Root, Data: h.section(disk, slot.Root()), Stored: tree,
		})
		if err != nil {
			return Booted{}, fmt.Errorf("%s boots slot %s: %w", name, slot, err)
		}
		release := h.releases[boot.Root.Hash]
		if release == nil {
			return Booted{}, fmt.Errorf("%s boots slot %s with an unknown release", name, slot)
		}
		h.writeBoot(t, slot, line, release)
		return Booted{slot, release}, nil
	}
	return Booted{}, fmt.Errorf("%s finds no root", name)
}

func (h *Host) section(disk *os.File, role partitions.Role) *io.SectionReader {
	offset, size := h.span(role)
	return io.NewSectionReader(disk, offset, size)
}

// chooseEntry is the loader's choice: the one-shot entry, then the variable
// for the default, then loader.conf, each only if there is such an entry. It
// fails where the loader would go by version numbers.
func (h *Host) chooseEntry(t testing.TB) (string, error) {
	entries := map[string]bool{}
	names, err := filepath.Glob(h.Path("esp/EFI/Linux/*.efi"))
	if err != nil {
		return "", err
	}
	for _, name := range names {
		entries[filepath.Base(name)] = true
	}
	oneShot := h.Variable(t, "LoaderEntryOneShot")
	if oneShot != "" {
		check(t, os.Remove(h.Path("efivars/LoaderEntryOneShot-"+loaderVendor)))
	}
	conf, err := os.ReadFile(h.Path("esp/loader/loader.conf"))
	if err != nil {
		return "", err
	}
	wanted := []string{oneShot, h.Variable(t, "LoaderEntryDefault")}
	for line := range strings.Lines(string(conf)) {
		if rest, ok := strings.CutPrefix(line, "default "); ok {
			wanted = append(wanted, strings.TrimSpace(rest))
		}
	}
	for _, name := range wanted {
		if entries[name] {
			return name, nil
		}
	}
	return "", fmt.Errorf("none of the entries %v is %v: the loader would take the highest version", entries, wanted)
}

// commandLine reads a kernel image with the standard library's reader, which
// wants the section table where it usually is.
func commandLine(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	f, err := pe.NewFile(bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	for _, section := range f.Sections {
		if section.Name == ".cmdline" {
			text, err := section.Data()
			return strings.Trim(string(text[:min(len(text), int(section.VirtualSize))]), "\x00"), err
		}
	}
	return "", errors.New("no .cmdline")
}
