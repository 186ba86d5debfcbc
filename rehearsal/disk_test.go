package rehearsal

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/journal"
)

// testDisk is a disk that tools which are not ours have made: a table, a boot
// partition, an empty state partition.
type testDisk struct {
	*testing.T
	disk
}

const espAt, stateAt = 1 << 20, 66 << 20 // bytes

func newTestDisk(t *testing.T) testDisk {
	t.Helper()
	d := testDisk{t, disk{filepath.Join(t.TempDir(), "disk.raw")}}
	if err := os.WriteFile(d.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.path, 68<<20); err != nil {
		t.Fatal(err)
	}
	d.tool("sgdisk", "-a", "1",
		"-n", "1:2048:+64M", "-t", "1:"+partitions.TypeESP.String(), "-c", "1:esp",
		"-n", fmt.Sprintf("2:%d:+1M", stateAt/512), "-t", "2:"+partitions.TypeState.String(), "-c", "2:state", d.path)
	d.tool("mformat", "-F", "-T", "131072", "-i", fmt.Sprintf("%s@@%d", d.path, espAt), "::")
	for _, folder := range []string{"loader", "EFI", "EFI/Linux"} {
		d.mtool("mmd", "::/"+folder)
	}
	return d
}

func (d testDisk) tool(name string, args ...string) {
	d.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func (d testDisk) mtool(name string, args ...string) {
	d.Helper()
	d.tool(name, append([]string{"-i", fmt.Sprintf("%s@@%d", d.path, espAt)}, args...)...)
}

// put puts a file onto the boot partition.
func (d testDisk) put(name string, content []byte) {
	d.Helper()
	file := filepath.Join(d.TempDir(), "file")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		d.Fatal(err)
	}
	d.mtool("mcopy", "-o", file, "::/"+name)
}

// note has the agent note something.
func (d testDisk) note(record journal.Record) {
	d.Helper()
	f, err := hostfs.OS{}.OpenWritable(d.path)
	if err != nil {
		d.Fatal(err)
	}
	defer f.Close()
	if err := journal.New(hostfs.Section(f, stateAt, 1<<20)).Write(record); err != nil {
		d.Fatal(err)
	}
}

func TestAMachineIsReadFromItsDisk(t *testing.T) {
	t.Parallel()
	d := newTestDisk(t)
	if record, err := d.journal(); err != nil || record.Phase != "" {
		t.Errorf("an empty journal: %+v, %v", record, err)
	}
	if _, err := d.committed(); err == nil {
		t.Error("a slot leads without loader.conf")
	}
	d.put(esp.UKIPath(newSlot), []byte("kernel"))
	if got, err := d.kernel(newSlot); err != nil || got != manifests.DigestOf([]byte("kernel")) {
		t.Errorf("kernel image %s, %v", got, err)
	}
	for _, slot := range partitions.Slots() {
		d.put(esp.LoaderConfPath, esp.LoaderConf(slot))
		if got, err := d.committed(); err != nil || got != slot {
			t.Errorf("slot %s leads, %v: want %s", got, err, slot)
		}
	}
	d.note(journal.Record{Phase: journal.Writing, Target: &journal.Target{Slot: newSlot, Version: "1.1.0"}})
	if record, err := d.journal(); err != nil || record.Phase != journal.Writing || record.Target.Version != "1.1.0" {
		t.Errorf("journal: %+v, %v", record, err)
	}
}

func TestAMachineThatWentAstrayIsSeen(t *testing.T) {
	t.Parallel()
	d := newTestDisk(t)
	dir := t.TempDir()
	m, err := machine.New(machine.Config{Disk: d.path, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	release := manifests.DigestOf([]byte("release"))
	r := &run{Config: Config{Dir: dir}, to: repository.Entry{Version: "1.1.0", Release: release}}
	g := (&pair{run: r}).guest(m)
	hold := g.writing()
	d.put(esp.LoaderConfPath, esp.LoaderConf(oldSlot))
	if err := g.leads(oldSlot); err != nil {
		t.Error(err)
	}
	if err := g.leads(newSlot); err == nil || !strings.Contains(err.Error(), "slot a leads: want slot b") {
		t.Errorf("the wrong slot leads: %v", err)
	}
	target := &journal.Target{Slot: newSlot, Version: "1.1.0", Release: release}
	d.note(journal.Record{Phase: journal.Writing, Target: &journal.Target{Slot: newSlot, Version: "1.0.9"}})
	if hold() {
		t.Error("the download of another release is held")
	}
	d.note(journal.Record{Phase: journal.Writing, Target: target})
	if !hold() {
		t.Error("the download is not held")
	}
	d.note(journal.Record{Phase: journal.Armed, Target: target})
	if !hold() {
		t.Error("the download is not held any more")
	}
	if armed, err := g.armed(); err != nil || armed {
		t.Errorf("armed without the firmware's variable: %t, %v", armed, err)
	}
	if g.verdict() != "" {
		t.Errorf("a verdict: %s", g.verdict())
	}
	d.note(journal.Record{Phase: journal.Bad, Last: &journal.Result{Version: "1.1.0", Outcome: journal.WentBack, Reason: "health check x: 503"}})
	if got := g.verdict(); got != ": 1.1.0 went back: health check x: 503" {
		t.Errorf("verdict %q", got)
	}
	d.note(journal.Record{Phase: journal.Bad, Last: &journal.Result{Version: "1.1.0", Outcome: "\x1b[2J", Reason: "503\n::error::\x1b]0;x\a"}})
	if got := g.verdict(); got != ": 1.1.0 [2J: 503 ::error:: ]0;x" {
		t.Errorf("verdict %q of a release that writes to the terminal", got)
	}
	d.note(journal.Record{Phase: journal.Bad, Last: &journal.Result{Version: "1.1.0", Outcome: journal.WentBack}})
	if _, back, err := g.wentBack(); err != nil || !back {
		t.Errorf("it went back: %t, %v", back, err)
	}
}
