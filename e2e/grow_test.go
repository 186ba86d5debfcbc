package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// resize gives the host's disk another size, as a provider does, or whoever
// copied the image onto it.
func (h *host) resize(size int64) {
	h.t.Helper()
	if err := os.Truncate(h.machine.Disk(), size); err != nil {
		h.t.Fatal(err)
	}
}

// wantVar checks that /var has what is left of a disk, as the guest sees it.
func (h *host) wantVar(size int64) {
	h.t.Helper()
	blocks := strings.Fields(h.run("df -k /var | tail -n 1"))[1]
	kib, err := strconv.ParseInt(blocks, 10, 64)
	const most = 600 << 20 // of the other partitions, and of what ext4 takes for itself
	if err != nil || kib<<10 < size-most-size/16 || kib<<10 > size {
		h.t.Errorf("/var has %s KiB on a disk of %d MiB", blocks, size>>20)
	}
	if out := h.run("cat /proc/mounts"); !strings.Contains(out, " /var ext4 ") {
		h.t.Errorf("/var is no file system of its own:\n%s", out)
	}
}

// wantGrown is wantVar, and that the table ends where the disk does, by sgdisk.
// The machine is off then.
func (h *host) wantGrown(size int64) {
	h.t.Helper()
	h.wantVar(size)
	h.run("busybox fsfreeze --freeze /var") // which empties the journal
	h.boot.PowerCut()
	out, err := exec.Command("sgdisk", "--verify", h.machine.Disk()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") {
		h.t.Errorf("sgdisk --verify: %v\n%s", err, out)
	}
	p := h.find(partitions.RoleVar)
	if end := p.Start + p.Size; end > size-33*512 || end < size-2<<20 {
		h.t.Errorf("var ends at %d of %d", end, size)
	}
}

// wantSoundVar lets e2fsck read all of /var, which was frozen when the power went.
func (h *host) wantSoundVar() {
	h.t.Helper()
	image := h.machine.Disk() + "?offset=" + strconv.FormatInt(h.find(partitions.RoleVar).Start, 10)
	if out, err := exec.Command("e2fsck", "-f", "-n", image).CombinedOutput(); err != nil {
		h.t.Errorf("e2fsck -f -n: %v\n%s", err, out)
	}
}

// TestVarGrowsWithTheDisk starts from an image on a disk of 4 GiB, and enlarges
// that to 16 GiB later, with something on it.
func TestVarGrowsWithTheDisk(t *testing.T) {
	t.Parallel()
	h := fresh(t, "grow")
	h.resize(4 << 30)
	h.start()
	h.run("echo kept > /var/kept; echo kept > /etc/kept")
	h.wantGrown(4 << 30)

	h.resize(16 << 30)
	h.start()
	h.want("cat /var/kept /etc/kept", "kept\nkept")
	if s := h.status(exitOK); len(s.Problems) > 0 {
		t.Errorf("status: %+v", s)
	}
	h.wantGrown(16 << 30)
	h.wantSoundVar()
	if info, err := os.Stat(filepath.Clean(h.machine.Disk())); err != nil || info.Size() != 16<<30 {
		t.Errorf("the disk: %v, %v", info, err)
	}
}

// TestADiskWithLargeSectorsGrowsAndUpdates does on sectors of 4096 bytes what
// machines do in their lives.
func TestADiskWithLargeSectorsGrowsAndUpdates(t *testing.T) {
	t.Parallel()
	disk := install(t, "1GiB", shared.release(t, base), "--sector-size", "4096")
	h := newHost(t, "large-sectors-grow", disk, "",
		"-global", "virtio-blk-pci.logical_block_size=4096", "-global", "virtio-blk-pci.physical_block_size=4096")
	h.resize(3 << 30)
	h.start()
	h.want("cat /sys/block/vda/queue/logical_block_size", "4096")
	h.wantVar(3 << 30)
	h.follow("good")
	h.update(exitOK)
	h.runUntilReset("reboot")
	h.start()
	h.wantRunning("1.1.0", partitions.SlotB)
	if s := h.status(exitOK); s.Running.Standing != "committed" || s.Committed != "b" || len(s.Problems) > 0 {
		t.Errorf("status: %+v", s)
	}
	h.wantVar(3 << 30)
}
