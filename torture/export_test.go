package torture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/torture/judge"
	"github.com/proa-os/proa/torture/replay"
	"github.com/proa-os/proa/torture/writelog"
	"github.com/proa-os/proa/updater/testhost"
)

// export is the disk of a host of plain files behind QEMU's storage daemon,
// which logs what the agent tells it: every pwrite(2) and fsync(2) as it is,
// without a page cache in between. It needs /dev/fuse.
//
// The boot partition and the variables of such a host are folders, which are
// not recorded.
type export struct {
	base, log string
	file      *os.File // the log
	reader    *writelog.Reader
	daemon    *exec.Cmd
}

func newExport(t *testing.T, f *fleet) *export {
	t.Helper()
	dir := t.TempDir()
	e := &export{base: filepath.Join(dir, "base"), log: filepath.Join(dir, "log")}
	disk, backing := f.host.Path("disk.raw"), filepath.Join(dir, "backing")
	content, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{e.base: content, backing: content, e.log: nil, disk: nil} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(e.log, 4<<30); err != nil {
		t.Fatal(err)
	}
	var size int64
	if e.file, size, err = openLog(e.log); err != nil {
		t.Fatal(err)
	}
	e.reader = writelog.NewReader(e.file, size)
	e.daemon = exec.Command("qemu-storage-daemon",
		"--blockdev", "driver=file,node-name=backing,filename="+backing,
		"--blockdev", "driver=file,node-name=log,filename="+e.log,
		"--blockdev", "driver=blklogwrites,node-name=disk,file=backing,log=log,log-sector-size=512",
		"--export", "type=fuse,id=export,node-name=disk,writable=on,mountpoint="+disk)
	var complaints bytes.Buffer
	e.daemon.Stderr = &complaints
	e.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := e.daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.stop()
		e.file.Close()
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if info, err := os.Stat(disk); err == nil && info.Size() == int64(len(content)) {
			return e
		}
		if time.Now().After(deadline) {
			t.Fatalf("the disk is not exported (this test needs /dev/fuse): %s", complaints.Bytes())
		}
	}
}

// stop takes the export away; an orderly end unmounts it.
func (e *export) stop() {
	if e.daemon.ProcessState != nil {
		return
	}
	_ = e.daemon.Process.Signal(syscall.SIGTERM)
	_ = e.daemon.Wait() // ended by a signal
}

// count is how many entries the log has.
func (e *export) count(t *testing.T) int {
	t.Helper()
	if err := e.reader.Skip(); err != nil {
		t.Fatal(err)
	}
	return e.reader.Count()
}

// promise is what must be so in a part of the log.
type promise struct {
	name       string
	start, end int
	slots      string // these are whole
	armed      int    // from this entry on slot b is, too; -1 for never
}

// TestEveryPowerCutOfARecordedFileLeavesWholeSlots records the real program on
// a disk behind QEMU's storage daemon, and judges the slots of every state.
func TestEveryPowerCutOfARecordedFileLeavesWholeSlots(t *testing.T) {
	t.Parallel()
	f := newFleetOf(t, sizeOf(300, 8000))
	e := newExport(t, f)
	var promises []promise
	run := func(slots string, args ...string) {
		t.Helper()
		p := promise{name: args[0], start: e.count(t), slots: slots, armed: -1}
		done := make(chan ran, 1)
		go func() { done <- f.run(t, args...) }()
		variable := f.host.Path("efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
		for p.armed < 0 {
			_, err := os.Stat(variable)
			if err == nil && args[0] == "update" {
				p.armed = e.count(t)
			} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if len(done) > 0 {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		if r := <-done; r.code != 0 {
			t.Fatalf("proa-agent %v: exit code %d\n%s", args, r.code, r.output)
		}
		p.end = e.count(t)
		if args[0] == "update" && p.armed < 0 {
			t.Fatal("the update was not armed")
		}
		promises = append(promises, p)
	}
	run("a", "update")
	run("a", "cancel")
	run("a", "update")
	if err := leadsB(t, f); err != nil {
		t.Fatal(err)
	}
	run("ab", "commit")
	damage := e.count(t)
	flip(t, f, f.host.Offset(partitions.RoleRootA)+70*4096, 1)
	flip(t, f, f.host.Offset(partitions.RoleRootA)+130*4096, 1)
	promises = append(promises, promise{"damage", damage, e.count(t), "b", -1})
	run("b", "repair")
	run("ab", "rollback")
	e.stop()
	judgeExport(t, f, e, promises)
}

func judgeExport(t *testing.T, f *fleet, e *export, promises []promise) {
	t.Helper()
	writes, err := readLog(e.log)
	if err != nil {
		t.Fatal(err)
	}
	base, size, err := openLog(e.base)
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	disk, err := replay.NewDisk(base, size, writes)
	if err != nil {
		t.Fatal(err)
	}
	j, err := judge.NewSlots(disk)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[rune]string{'a': commandLine(f.old), 'b': commandLine(f.next)}
	t.Logf("%d entries: %+v", len(writes), promises)
	seen := map[string]bool{}
	err = disk.Each(0, replay.Bounds{Torn: sizeOf(4, 14), Each: sizeOf(10, 400), Reordered: sizeOf(5, 60)}, seed, func(s replay.State) error {
		report.add("power cuts of a recorded file: states", 1)
		if s.Way == replay.Prefix {
			report.add("power cuts of a recorded file: prefixes", 1)
		}
		for _, p := range promises {
			if s.Entry <= p.start || s.Entry > p.end {
				continue
			}
			slots := p.slots
			if p.armed >= 0 && s.Entry >= p.armed {
				slots = "ab"
			}
			for _, slot := range slots {
				err := j.Slot(disk, string(slot), lines[slot])
				if err == nil {
					continue
				}
				report.add("power cuts of a recorded file: faults", 1)
				if text := p.name + err.Error(); !seen[text] {
					seen[text] = true
					t.Errorf("%s, %s: %v", p.name, s, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// commandLine is what a release's kernel is told.
func commandLine(r *testhost.Release) string {
	return fmt.Sprintf("proa.roothash=%x proa.salt=%x proa.blocks=%d", r.Root.Hash, r.Root.Salt, r.Root.Blocks)
}
