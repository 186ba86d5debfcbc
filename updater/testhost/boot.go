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

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater/testhost/loaders"
)

// machine is what a loader reads of the host.
func (h *Host) machine() loaders.Machine {
	return loaders.Machine{Boot: h.Path("esp"), Vars: h.Path("efivars"), Config: h.Path("fw_env.config")}
}

// SetVariable stores a variable of the boot loader.
func (h *Host) SetVariable(t testing.TB, name, text string) {
	t.Helper()
	check(t, h.machine().WriteVariable(name, text))
}

// Variable is the text of a variable of the boot loader, or "".
func (h *Host) Variable(t testing.TB, name string) string {
	t.Helper()
	text, err := h.machine().ReadVariable(name)
	check(t, err)
	return text
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

// TryBoot plays the boot loader and proa-init, and then reads the whole slot. An
// error means that this machine does not come up, or, if it is an Unverified, with
// content that is not what its kernel image names.
func (h *Host) TryBoot(t testing.TB) (Booted, error) {
	t.Helper()
	load, err := loaders.Find(h.machine())
	if err != nil {
		return Booted{}, err
	}
	started, err := load(h.machine())
	if err != nil {
		return Booted{}, err
	}
	selected := partitions.SlotA
	if h.Variable(t, "LoaderEntrySelected") != "" && started.Slot == partitions.SlotB.String() {
		selected = partitions.SlotB
	}
	return h.start(t, h.machine().Kernel(started), selected)
}

// Kexec starts the kernel image of a slot past the boot loader.
func (h *Host) Kexec(t testing.TB, slot partitions.Slot) {
	t.Helper()
	booted, err := h.start(t, h.machine().Kernel(loaders.Started{Slot: slot.String()}), partitions.SlotA)
	check(t, err)
	if booted.Slot != slot {
		t.Fatalf("slot %s runs: want %s", booted.Slot, slot)
	}
}

// start plays proa-init, which looks at the selected slot first: the one that
// the boot loader says it has booted, if it says so.
func (h *Host) start(t testing.TB, kernel string, selected partitions.Slot) (Booted, error) {
	t.Helper()
	line, err := commandLine(kernel)
	if err != nil {
		return Booted{}, fmt.Errorf("%s does not load: %w", filepath.Base(kernel), err)
	}
	boot, err := cmdline.Parse(line)
	if err != nil {
		return Booted{}, err
	}
	for _, slot := range []partitions.Slot{selected, selected.Other()} {
		if holds, err := h.Holds(slot, boot.Root); err != nil || !holds {
			continue
		}
		release := h.releases[boot.Root.Hash]
		if err := h.Verify(slot, boot.Root); err != nil || release == nil {
			return Booted{}, &Unverified{slot, fmt.Errorf("release known: %t: %w", release != nil, err)}
		}
		h.writeBoot(t, slot, line, release)
		return Booted{slot, release}, nil
	}
	return Booted{}, fmt.Errorf("%s finds no root", filepath.Base(kernel))
}

// Unverified is the error of a boot into content that nobody vouches for.
type Unverified struct {
	Slot  partitions.Slot
	Cause error
}

// Error implements error.
func (e *Unverified) Error() string { return fmt.Sprintf("slot %s boots: %v", e.Slot, e.Cause) }

// Holds reports whether proa-init would take the slot for one with the root.
func (h *Host) Holds(slot partitions.Slot, root verity.Root) (bool, error) {
	disk, err := os.Open(h.Path("disk.raw"))
	if err != nil {
		return false, err
	}
	defer disk.Close()
	return root.Holds(h.section(disk, slot.Verity()))
}

// Verify reads the whole slot, and reports an error unless it is what the root says.
func (h *Host) Verify(slot partitions.Slot, root verity.Root) error {
	disk, err := os.Open(h.Path("disk.raw"))
	if err != nil {
		return err
	}
	defer disk.Close()
	return verity.Verify(context.Background(), verity.Check{
		Root: root, Data: h.section(disk, slot.Root()), Stored: h.section(disk, slot.Verity()),
	})
}

func (h *Host) section(disk *os.File, role partitions.Role) *io.SectionReader {
	offset, size := h.span(role)
	return io.NewSectionReader(disk, offset, size)
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
