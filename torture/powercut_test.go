package torture

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/proa-os/proa/torture/judge"
	"github.com/proa-os/proa/torture/replay"
)

// TestEveryPowerCutOfARecordedMachineLeavesAWholeSlot records what real
// machines tell their disk and their firmware, from an update to its commit and
// back, and judges every state that a power cut could have left. The small size
// has no update that is cancelled, and boots one state once.
func TestEveryPowerCutOfARecordedMachineLeavesAWholeSlot(t *testing.T) {
	t.Parallel()
	if err := shared.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newRecorder(t, first)
	r.start("update")
	r.configure()
	r.mark("configure")
	if full {
		r.agent("update")
		r.agent("cancel")
	}
	r.agent("update")
	update := r.stop()
	updateStates := judgeAll(t, update)

	r.start("commit")
	r.run("dd if=/dev/zero of=/dev/vda2 bs=4096 seek=500 count=40 conv=notrunc,fsync 2> /dev/null")
	r.mark("damage")
	r.agent("repair")
	r.agent("rollback")
	commit := r.stop()
	commitStates := judgeAll(t, commit)

	if full {
		r.start("back")
		judgeAll(t, r.stop())
	}

	if p, s := report.get("power cuts: prefixes"), report.get("power cuts: states"); full && (p < 2000 || s < 20_000) {
		t.Errorf("only %d prefixes and %d states", p, s)
	}
	bootSome(t, update, updateStates, sizeOf(1, 6))
	bootSome(t, commit, commitStates, sizeOf(0, 4))
}

// bounds are how many states there are of each write and flush.
func bounds() replay.Bounds {
	return replay.Bounds{Torn: sizeOf(1, 6), Each: sizeOf(6, 200), Reordered: sizeOf(6, 20)}
}

// each visits every state of the recording, always the same ones.
func (r *recording) each(t *testing.T, visit func(*replay.Disk, replay.State) error) error {
	t.Helper()
	f, err := os.Open(r.disk)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	disk, err := replay.NewDisk(f, info.Size(), r.writes)
	if err != nil {
		return err
	}
	return disk.Each(0, bounds(), seed, func(s replay.State) error { return visit(disk, s) })
}

// judgeAll judges all states of a recording, whose machine is off, and returns
// how many there are.
func judgeAll(t *testing.T, r *recording) int {
	t.Helper()
	for _, s := range r.settings {
		t.Logf("%s: variables between entries %d and %d: %+v", r.name, s.from, s.till, s.Variables)
	}
	var written int64
	for _, w := range r.writes {
		written += int64(len(w.Data))
	}
	t.Logf("%s: %d entries, %d bytes, sections %v", r.name, len(r.writes), written, r.sections)
	known := released(t)
	var j *judge.Judge
	var last *replay.Disk
	states, began := 0, time.Now()
	faults := map[string]bool{}
	err := r.each(t, func(disk *replay.Disk, s replay.State) (err error) {
		if j == nil { // before the first write
			if j, err = judge.New(disk, known); err != nil {
				return err
			}
		}
		last = disk
		states++
		report.add("power cuts: states", 1)
		if s.Way == replay.Prefix {
			report.add("power cuts: prefixes", 1)
		}
		for _, v := range r.at(s.Entry) {
			_, err := j.State(disk, v.Variables)
			var fault *judge.Fault
			if err == nil {
				continue
			}
			if !errors.As(err, &fault) {
				return err
			}
			report.add("power cuts: "+string(fault.Kind), 1)
			if !faults[err.Error()] {
				faults[err.Error()] = true
				t.Errorf("%s: %s, variables %+v: %v", r.name, s, v.Variables, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, last, r.after)
	t.Logf("%s: %d states judged in %.1f s", r.name, states, time.Since(began).Seconds())
	return states
}

// wantSame checks that all writes together make the disk that QEMU left: that
// the log is whole.
func wantSame(t *testing.T, disk *replay.Disk, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = disk.Changed(func(offset int64, content []byte) error {
		really := make([]byte, len(content))
		if _, err := f.ReadAt(really, offset); err != nil {
			return err
		}
		if !bytes.Equal(really, content) {
			return fmt.Errorf("the disk has something else than the log from byte %d on", offset)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// released are the digests of the UKIs of the lab.
func released(t *testing.T) map[[sha256.Size]byte]bool {
	t.Helper()
	known := map[[sha256.Size]byte]bool{}
	for _, version := range []string{first, second} {
		content, err := os.ReadFile(shared.path("out", version, "uki.efi"))
		if err != nil {
			t.Fatal(err)
		}
		known[sha256.Sum256(content)] = true
	}
	return known
}
