package updater

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/bootcount"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/bootcontrol"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/lifecycle"
)

// openControl mounts the boot partition and picks the backend that it is laid
// out for.
func (s *session) openControl(writable bool) error {
	if s.esp = s.host.ESP; s.esp == "" {
		folder, release, err := s.disk.MountESP(s.host.Run, writable)
		if err != nil {
			return err
		}
		s.closers = append(s.closers, release)
		s.esp = folder
	}
	installed, err := bootcontrol.Installed(s.FS, s.esp)
	if err != nil {
		return err
	}
	name, err := bootcontrol.Choose(string(s.Settings.BootControl), installed)
	if err != nil {
		return err
	}
	if s.control, err = s.backend(name); err != nil {
		return err
	}
	return s.reload()
}

// backend is the one with the name, on the mounted boot partition.
func (s *session) backend(name string) (bootcontrol.Control, error) {
	switch name {
	case bootcontrol.NameOneShot:
		p, err := s.disk.Find(partitions.RoleESP)
		if err != nil {
			return nil, err
		}
		return &bootcontrol.OneShot{
			FS:     s.FS,
			ESP:    s.esp,
			Vars:   s.variables(),
			Disk:   efivars.HardDriveOf(p, s.disk.Table.SectorSize),
			Loader: `\` + strings.ReplaceAll(esp.LoaderPath(string(s.facts.Image.Arch)), "/", `\`),
		}, nil
	case bootcontrol.NameCounted:
		// One boot to a trial, as with every backend: that one may come back is for
		// the journal to count, and for the agent to wait before the next.
		return &bootcontrol.Counted{FS: s.FS, ESP: s.esp, Vars: s.variables(), Running: s.facts.Slot}, nil
	case bootcontrol.NameGRUB:
		return &bootcontrol.GRUB{FS: s.FS, Boot: s.esp}, nil
	case bootcontrol.NameUBoot:
		return bootcontrol.OpenUBoot(s.FS, s.esp, s.host.FWEnv)
	}
	return nil, fmt.Errorf("boot control %s: this agent does not have it", name)
}

func (s *session) variables() efivars.Store { return efivars.New(s.FS, s.host.EFIVars) }

// reload asks the firmware and the loader again.
func (s *session) reload() (err error) {
	s.boot, err = s.control.State()
	return err
}

// confirmBoot tells proa-init, which counts boots, that this one came up. Where
// that cannot be noted, the worst that comes of it is that proa-init reads the slot
// for nothing; the notes say so.
func (s *session) confirmBoot() (notes []string) {
	record, err := bootcount.Read(s.state)
	if err != nil || record.Unconfirmed(s.facts.Slot, s.facts.Root.Hash) == 0 {
		return nil // nobody counts
	}
	confirmed := record.Confirm(s.facts.Slot, s.facts.Root.Hash).Bytes()
	if _, err = s.state.WriteAt(confirmed, bootcount.Offset); err == nil {
		err = s.state.Sync()
	}
	if err != nil {
		return []string{fmt.Sprintf("confirming the boot: %v", err)}
	}
	return nil
}

// BootControl is how this machine decides what it boots.
type BootControl struct {
	Backend   string               `json:"backend"` // oneshot, counted, grub or uboot
	Committed partitions.Slot      `json:"committed"`
	Armed     string               `json:"armed,omitempty"`  // the slot that the next boot tries
	Booted    string               `json:"booted,omitempty"` // the slot that this firmware boot booted, if it is known
	Counts    *bool                `json:"counts,omitempty"` // counted only: the firmware was seen to count boots
	Variables string               `json:"variables"`        // "present", or why there are none
	Probe     *bootcontrol.Finding `json:"probe,omitempty"`  // the newest
	Notes     []string             `json:"notes,omitempty"`
}

// BootControl reads how the machine decides what it boots.
func (u *Updater) BootControl(context.Context) (BootControl, error) {
	s, err := u.open(false)
	if err != nil {
		return BootControl{}, err
	}
	defer s.close()
	return s.bootControl()
}

func (s *session) bootControl() (BootControl, error) {
	b := BootControl{
		Backend:   s.control.Name(),
		Committed: s.boot.Committed,
		Variables: "present",
	}
	if s.boot.Armed != 0 {
		b.Armed = s.boot.Armed.String()
	}
	if s.boot.Booted != 0 {
		b.Booted = s.boot.Booted.String()
	}
	if err := s.variables().Present(); err != nil {
		b.Variables = err.Error()
	}
	if c, ok := s.control.(*bootcontrol.Counted); ok {
		proven, err := c.Proven()
		if err != nil {
			return BootControl{}, err
		}
		b.Counts = &proven
	}
	found, ok, err := s.probe().Last()
	if err != nil {
		b.Notes = append(b.Notes, err.Error())
	}
	if ok {
		b.Probe = &found
	}
	return b, nil
}

func (s *session) probe() bootcontrol.Probe {
	return bootcontrol.Probe{
		FS:     s.FS,
		Vars:   s.variables(),
		Path:   filepath.Join(s.host.State, "boot-probe.json"),
		BootID: s.facts.BootID,
		Now:    s.now(),
	}
}

// ProbeBootControl finds out, in two calls with a reset in between, whether the
// firmware keeps variables. It changes nothing else.
func (u *Updater) ProbeBootControl(context.Context) (bootcontrol.Finding, error) {
	s, err := u.open(true)
	if err != nil {
		return bootcontrol.Finding{}, err
	}
	defer s.close()
	return s.probe().Run()
}

// UseBootControl lays the boot partition out for another backend. It is
// refused unless the committed slot runs and no trial is pending; the committed
// slot leads wherever it is cut, and a second call then ends it.
func (u *Updater) UseBootControl(ctx context.Context, name string) (BootControl, error) {
	if _, err := bootcontrol.Choose(string(u.Settings.BootControl), name); err != nil {
		return BootControl{}, refuse("", "%s: bootControl: %s is configured", name, u.Settings.BootControl)
	}
	asInstalled := *u
	asInstalled.Settings.BootControl = ""
	s, err := asInstalled.open(true)
	if err != nil {
		return BootControl{}, err
	}
	defer s.close()
	notes, err := s.recover(ctx)
	if err != nil {
		return BootControl{}, err
	}
	if err := s.mayConvert(); err != nil {
		return BootControl{}, err
	}
	if err := bootcontrol.Convert(s.FS, s.esp, s.variables(), name); err != nil {
		return BootControl{}, err
	}
	if s.control, err = s.backend(name); err != nil {
		return BootControl{}, err
	}
	if err := s.reload(); err != nil {
		return BootControl{}, err
	}
	b, err := s.bootControl()
	b.Notes = append(notes, b.Notes...)
	return b, err
}

func (s *session) mayConvert() error {
	switch {
	case s.standing() != lifecycle.Settled:
		return refuse("", "slot %s runs and slot %s is committed: boot control is changed on the committed slot only", s.facts.Slot, s.boot.Committed)
	case s.boot.Armed != 0:
		return refuse("", "a trial of slot %s is pending: let it end, or cancel it", s.boot.Armed)
	}
	return nil
}
