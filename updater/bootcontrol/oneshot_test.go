package bootcontrol

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

var _ Control = (*OneShot)(nil)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const loader = `\EFI\BOOT\BOOTX64.EFI`

// newControl is a machine with both UKIs, slot a committed, on fs or the real
// file system.
func newControl(t testing.TB) (*OneShot, string) {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{"esp/" + esp.UKIFolder, "esp/" + esp.ConfFolder, "vars"} {
		check(t, os.MkdirAll(filepath.Join(dir, folder), 0o755))
	}
	check(t, os.WriteFile(filepath.Join(dir, "esp", esp.LoaderConfPath), esp.LoaderConf(partitions.SlotA), 0o600))
	for _, slot := range partitions.Slots() {
		check(t, os.WriteFile(filepath.Join(dir, "esp", esp.UKIPath(slot)), []byte("MZ"), 0o600))
	}
	fs := &powercut.Recorder{Dir: dir}
	drive := efivars.HardDrive{Number: 1, Start: 2048, Size: 4096, GUID: partitions.DeriveGUID("test", "esp")}
	vars := filepath.Join(dir, "vars")
	check(t, efivars.New(hostfs.OS{}, vars).WriteString(efivars.LoaderEntrySelected, "proa-a.efi")) // efivarfs is never empty
	return &OneShot{FS: fs, ESP: filepath.Join(dir, "esp"), Vars: efivars.New(fs, vars), Disk: drive, Loader: loader}, dir
}

func state(t testing.TB, o *OneShot) State {
	t.Helper()
	s, err := o.State()
	check(t, err)
	return s
}

func TestArmedTrialIsGoneAfterRollback(t *testing.T) {
	o, _ := newControl(t)
	check(t, o.Vars.WriteString(efivars.LoaderEntryDefault, "proa-a.efi"))
	check(t, o.Arm(partitions.SlotB))
	if s := state(t, o); s.Armed != partitions.SlotB || s.Committed != partitions.SlotA || s.Override != "" {
		t.Errorf("armed: %+v", s)
	}
	check(t, o.Rollback())
	if s := state(t, o); s.Armed != 0 || !s.Has(partitions.SlotB) {
		t.Errorf("rolled back: %+v", s)
	}
}

func TestCommitWritesOneByteInPlace(t *testing.T) {
	o, _ := newControl(t)
	check(t, o.Commit(partitions.SlotB))
	if s := state(t, o); s.Committed != partitions.SlotB {
		t.Errorf("state %+v", s)
	}
	for _, op := range o.FS.(*powercut.Recorder).Ops() {
		switch {
		case op.Kind == powercut.Write && len(op.Data) == 1 && op.Offset == esp.LetterOffset:
		case op.Kind == powercut.Sync || op.Kind == powercut.SyncFS:
		default:
			t.Errorf("commit did: %s", op)
		}
	}
}

func TestDisarmRemovesTheSlotAndLeftoversButNeverTheCommittedSlot(t *testing.T) {
	o, dir := newControl(t)
	folder := filepath.Join(dir, "esp", esp.UKIFolder)
	check(t, os.Rename(filepath.Join(folder, "proa-b.efi"), filepath.Join(folder, "PROA-B.EFI")))
	for _, name := range []string{"proa-a.new", "proa-b.new", "other.efi"} {
		check(t, os.WriteFile(filepath.Join(folder, name), nil, 0o600))
	}
	check(t, o.Vars.WriteString(efivars.LoaderEntryOneShot, "proa-b.efi"))
	if err := o.Disarm(partitions.SlotA); err == nil || !strings.Contains(err.Error(), "committed slot") {
		t.Errorf("disarming the committed slot: %v", err)
	}
	check(t, o.Disarm(partitions.SlotB))
	names, err := o.FS.List(folder)
	check(t, err)
	if want := []string{"other.efi", "proa-a.efi"}; !slices.Equal(names, want) {
		t.Errorf("left are %v: want %v", names, want)
	}
	if s := state(t, o); s.Armed != 0 {
		t.Errorf("still armed: %+v", s)
	}
}

func TestSlotWithoutKernelIsNeitherArmedNorCommitted(t *testing.T) {
	o, _ := newControl(t)
	check(t, o.Disarm(partitions.SlotB))
	if err := o.Arm(partitions.SlotB); err == nil {
		t.Error("armed")
	}
	if err := o.Commit(partitions.SlotB); err == nil {
		t.Error("committed")
	}
	if s := state(t, o); s.Armed != 0 || s.Committed != partitions.SlotA {
		t.Errorf("state %+v", s)
	}
}

func TestDamagedLoaderConfIsNamedAndNothingIsDone(t *testing.T) {
	o, dir := newControl(t)
	check(t, os.WriteFile(filepath.Join(dir, "esp", esp.LoaderConfPath), []byte("default proa-c.efi\n"), 0o600))
	for name, err := range map[string]error{
		"disarm": o.Disarm(partitions.SlotB), "arm": o.Arm(partitions.SlotB), "commit": o.Commit(partitions.SlotB),
	} {
		if err == nil || !strings.Contains(err.Error(), "loader.conf") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ops := o.FS.(*powercut.Recorder).Ops(); len(ops) > 0 {
		t.Errorf("did %v", ops)
	}
}

// stuck is a boot partition that loses writes.
type stuck struct{ hostfs.OS }

type stuckFile struct{ hostfs.File }

func (stuckFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func (s stuck) OpenWritable(name string) (hostfs.File, error) {
	f, err := s.OS.OpenWritable(name)
	return stuckFile{f}, err
}

func TestCommitThatTheMediumLosesIsAnError(t *testing.T) {
	o, _ := newControl(t)
	o.FS = stuck{}
	if err := o.Commit(partitions.SlotB); err == nil || !strings.Contains(err.Error(), "did not keep") {
		t.Errorf("commit: %v", err)
	}
}

// setOrder stores boot options: "own" is one for our loader, "odd" does not
// parse, anything else is foreign.
func setOrder(t testing.TB, o *OneShot, order []uint16, kinds map[uint16]string, current int) {
	t.Helper()
	for number, kind := range kinds {
		option := efivars.LoadOption{Attributes: efivars.Active, Description: kind, Path: []efivars.Node{efivars.FileNode(`\x`)}}
		switch kind {
		case "own":
			option.Path = []efivars.Node{o.Disk.Node(), efivars.FileNode(loader)}
		case "off":
			option.Path = []efivars.Node{o.Disk.Node(), efivars.FileNode(loader)}
			option.Attributes = 0
		}
		data := option.Encode()
		if kind == "odd" {
			data = []byte{1}
		}
		check(t, o.Vars.Write(efivars.BootName(number), efivars.Variable{Attributes: 7, Data: data}))
	}
	if order != nil {
		check(t, o.Vars.WriteBootOrder(order))
	}
	if current >= 0 {
		name := efivars.Name{Name: "BootCurrent", Vendor: efivars.VendorGlobal}
		check(t, o.Vars.Write(name, efivars.Variable{Attributes: 6, Data: binary.LittleEndian.AppendUint16(nil, uint16(current))}))
	}
}

func TestArmSeesToASecondWayToTheLoader(t *testing.T) {
	for name, test := range map[string]struct {
		order   []uint16
		kinds   map[uint16]string
		current int
		want    []uint16
	}{
		"blank store":          {nil, nil, -1, []uint16{0, 1}},
		"automatic option":     {[]uint16{0, 1, 2}, map[uint16]string{0: "setup", 1: "disk", 2: "net"}, 1, []uint16{0, 1, 3, 4, 2}},
		"no current":           {[]uint16{0, 2}, map[uint16]string{0: "setup", 2: "net"}, -1, []uint16{1, 3, 0, 2}},
		"current not in order": {[]uint16{0}, map[uint16]string{0: "setup"}, 9, []uint16{1, 2, 0}},
		"one is there":         {[]uint16{5, 0}, map[uint16]string{0: "net", 5: "own"}, 5, []uint16{5, 1, 0}},
		"one named twice":      {[]uint16{5, 5}, map[uint16]string{5: "own"}, 5, []uint16{5, 0, 5}},
		"two are there":        {[]uint16{5, 0, 6}, map[uint16]string{0: "net", 5: "own", 6: "own"}, 5, []uint16{5, 0, 6}},
		"one lies idle":        {[]uint16{0}, map[uint16]string{0: "disk", 1: "own", 2: "odd"}, 0, []uint16{0, 1, 3}},
		"one is off":           {[]uint16{0, 1}, map[uint16]string{0: "own", 1: "off"}, 0, []uint16{0, 2, 1}},
		"dangling":             {[]uint16{7}, nil, 7, []uint16{7, 0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := newControl(t)
			setOrder(t, o, test.order, test.kinds, test.current)
			for range 2 { // the second time there is nothing to do
				check(t, o.Arm(partitions.SlotB))
				order, err := o.Vars.BootOrder()
				check(t, err)
				if !slices.Equal(order, test.want) {
					t.Fatalf("boot order %v: want %v", order, test.want)
				}
				ours, err := o.ourOptions(order)
				check(t, err)
				if len(ours) != 2 {
					t.Fatalf("%d ways to the loader: want 2", len(ours))
				}
			}
		})
	}
}

func TestFullVariableStoreArmsNothing(t *testing.T) {
	o, _ := newControl(t)
	recorder := o.FS.(*powercut.Recorder)
	recorder.Before = func(_ int, op powercut.Op) error {
		if op.Kind == powercut.Variable {
			return fmt.Errorf("no space left")
		}
		return nil
	}
	if err := o.Arm(partitions.SlotB); err == nil || !strings.Contains(err.Error(), "second way") {
		t.Errorf("arm: %v", err)
	}
	if s := state(t, o); s.Armed != 0 {
		t.Errorf("armed: %+v", s)
	}
}

// TestARenameThatWasCutInHalfIsStartedOver has the temporary name and the final
// one of a kernel image, which may lead to the same clusters.
func TestARenameThatWasCutInHalfIsStartedOver(t *testing.T) {
	for _, slot := range partitions.Slots() {
		o, dir := newControl(t)
		temporary := filepath.Join(dir, "esp", esp.TempUKIPath(slot))
		check(t, os.WriteFile(temporary, []byte("MZ"), 0o600))
		check(t, o.RemoveTemporary())
		if _, err := os.Lstat(temporary); !os.IsNotExist(err) {
			t.Errorf("slot %s: the temporary file: %v", slot, err)
		}
		s := state(t, o)
		if has, committed := s.Has(slot), slot == partitions.SlotA; has != committed || !s.Has(partitions.SlotA) {
			t.Errorf("slot %s: %+v: want its kernel image to stay only where it is committed", slot, s)
		}
	}
}
