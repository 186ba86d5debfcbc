package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/torture/replay"
	"github.com/proa-os/proa/torture/writelog"
)

// bootSome boots n of the states of a recording for real, each with the
// variable store of that moment, and lets the machine finish its update.
func bootSome(t *testing.T, r *recording, states, n int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, uint64(states)))
	picked := random.Perm(states)[:min(n, states)]
	slices.Sort(picked)
	dir := t.TempDir()
	number := 0
	err := r.each(t, func(disk *replay.Disk, s replay.State) error {
		if number++; !slices.Contains(picked, number-1) {
			return nil
		}
		image := filepath.Join(dir, fmt.Sprintf("state-%d.raw", number))
		if err := materialise(image, r.disk, disk); err != nil {
			return err
		}
		store := filepath.Join(dir, fmt.Sprintf("state-%d.fd", number))
		if err := os.WriteFile(store, r.store(s.Entry), 0o600); err != nil {
			return err
		}
		t.Run(fmt.Sprintf("%s/%s", r.name, s), func(t *testing.T) {
			report.add("power cuts: booted in OVMF", 1)
			stuck := int64(1)
			defer func() { report.add("power cuts: stuck", stuck) }()
			bootState(t, image, store)
			stuck = 0
			report.add("power cuts: booted, and could be updated", 1)
		})
		return os.Remove(image)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func materialise(path, base string, disk *replay.Disk) error {
	if err := machine.Clone(path, base); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = disk.Changed(func(offset int64, content []byte) error {
		_, err := f.WriteAt(content, offset)
		return err
	})
	return errors.Join(err, f.Close())
}

// store is the variable store when the disk had completed n entries.
func (r *recording) store(n int) []byte {
	store := append([]byte{}, r.variables...)
	flash := 0
	for _, m := range r.moments {
		if m.till <= n {
			flash = m.flash
		}
	}
	for _, w := range r.flash[:flash] {
		copy(store[w.Sector*writelog.SectorSize:], w.Data)
	}
	return store
}

// bootState boots a machine with the disk and the variables until it runs the
// second release, and that leads. The small size ends with the update from the
// first boot.
func bootState(t *testing.T, image, store string) {
	t.Helper()
	firmware, err := machine.FindFirmware()
	if err != nil {
		t.Fatal(err)
	}
	firmware.Vars = store
	m, err := machine.New(machine.Config{Disk: image, Dir: filepath.Join(t.TempDir(), "machine"), Firmware: firmware})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{t: t, machine: m}
	for range 4 {
		r.power()
		r.configure()
		var status struct {
			Running struct{ Version, Standing string }
		}
		out := r.run("proa-agent status --offline --json || [ $? = 5 ]")
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			t.Fatalf("status: %v: %s", err, out)
		}
		t.Logf("boot %d: runs %s, %s", r.boot.Number, status.Running.Version, status.Running.Standing)
		if status.Running.Version == second && status.Running.Standing == "committed" {
			r.boot.PowerCut()
			return
		}
		r.run("proa-agent update --retry-blocked")
		if !full {
			r.boot.PowerCut()
			return
		}
		r.reset()
	}
	t.Fatal("stuck: four boots do not lead to the second release")
}
