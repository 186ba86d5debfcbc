package bootcontrol

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
)

func TestRegisteredDisksComeFirst(t *testing.T) {
	o, dir := newControl(t)
	other := efivars.LoadOption{Attributes: efivars.Active, Description: "other", Path: []efivars.Node{efivars.FileNode(`\x.efi`)}}
	for _, n := range []uint16{0, 7} {
		check(t, o.Vars.Write(efivars.BootName(n), efivars.Variable{Attributes: efivars.Persistent, Data: other.Encode()}))
	}
	check(t, o.Vars.WriteBootOrder([]uint16{7, 0}))
	for range 2 {
		name, err := Register(o.Vars, o.Disk, "amd64")
		if err != nil || name != "Boot0001" {
			t.Fatalf("%s, %v", name, err)
		}
		if order, err := o.Vars.BootOrder(); err != nil || !slices.Equal(order, []uint16{1, 7, 0}) {
			t.Errorf("order %v, %v", order, err)
		}
	}
	v, err := o.Vars.Read(efivars.BootName(1))
	check(t, err)
	if option, err := efivars.ParseLoadOption(v.Data); err != nil || !option.Loads(o.Disk, loader) {
		t.Errorf("option %+v, %v", option, err)
	}
	// One that is there, but not first.
	check(t, o.Vars.WriteBootOrder([]uint16{7, 1, 0}))
	if _, err := Register(o.Vars, o.Disk, "amd64"); err != nil {
		t.Error(err)
	}
	if order, err := o.Vars.BootOrder(); err != nil || !slices.Equal(order, []uint16{1, 7, 0}) {
		t.Errorf("order %v, %v", order, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "vars", "Boot0*")); err != nil || len(left) != 3 {
		t.Errorf("variables %v, %v", left, err)
	}
}

func TestVariablesThatCannotBeWrittenAreSaid(t *testing.T) {
	o, dir := newControl(t)
	for says, fsys := range map[string]hostfs.FS{
		"variables are read-only: ":               refusing{hostfs.OS{}, syscall.EROFS},
		"the firmware's variable store is full: ": refusing{hostfs.OS{}, syscall.ENOSPC},
	} {
		_, err := Register(efivars.New(fsys, filepath.Join(dir, "vars")), o.Disk, "amd64")
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v: want one that says %q", err, says)
		}
	}
	if _, err := Register(efivars.New(hostfs.OS{}, t.TempDir()), o.Disk, "amd64"); err == nil || !strings.Contains(err.Error(), "efivarfs") {
		t.Errorf("without variables: %v", err)
	}
}
