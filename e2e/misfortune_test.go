package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/partitions"
)

// TestABootPartitionThatIsFullAndVariablesThatAreReadOnlyAreNamed has an update that
// cannot begin, one that fails at what it writes last, and one that goes on with what
// that has left.
func TestABootPartitionThatIsFullAndVariablesThatAreReadOnlyAreNamed(t *testing.T) {
	t.Parallel()
	h := fresh(t, "misfortune")
	h.start()
	h.follow("good")
	const esp = "mkdir -p /tmp/esp && mount -t vfat /dev/vda1 /tmp/esp && "

	h.run(esp + "{ dd if=/dev/zero of=/tmp/esp/full bs=1M 2>&1 || true; } | tail -n 1; umount /tmp/esp")
	if r := h.agent("update", exitRefused); !strings.Contains(r.Stderr, "bytes free: its kernel image needs") {
		t.Errorf("with a full boot partition: %s", r.Stderr)
	}
	h.run(esp + "rm /tmp/esp/full && umount /tmp/esp")

	const variables = "/sys/firmware/efi/efivars"
	h.run("mount -o remount,ro " + variables)
	if r := h.agent("update", exitFailed); !strings.Contains(r.Stderr, "read-only") {
		t.Errorf("with variables that are read-only: %s", r.Stderr)
	}
	if s := h.status(exitOK); s.Pending != nil || s.Committed != "a" {
		t.Errorf("status: %+v", s)
	}
	h.run("mount -o remount,rw " + variables)

	if u := h.update(exitOK); u.Downloaded > 256<<10 {
		t.Errorf("update: %+v: want it to go on with what is there", u)
	}
	h.runUntilReset("reboot")
	h.start()
	h.wantRunning("1.1.0", partitions.SlotB)
	h.wantCommittedUpdate("1.1.0")
}

// TestADiskThatIsPulledOutIsNamedAndBootsNothing pulls it when a part of the release
// is on it.
func TestADiskThatIsPulledOutIsNamedAndBootsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pulled, monitor := filepath.Join(dir, "pulled.raw"), filepath.Join(dir, "monitor")
	if err := errors.Join(os.WriteFile(pulled, nil, 0o644), os.Truncate(pulled, 1<<30)); err != nil {
		t.Fatal(err)
	}
	h := blankHost(t, "pulled", 64<<20, func(c *machine.Config) {
		liveMedium(convert(t, "iso"), "scsi-cd")(c)
		c.Arguments = append(c.Arguments,
			"-drive", "if=none,id=pulled,format=raw,throttling.bps-write=1000000,file="+pulled,
			"-device", "virtio-scsi-pci,id=bay", "-device", "scsi-hd,bus=bay.0,id=disk1,drive=pulled,serial=PULLED",
			"-monitor", "unix:"+monitor+",server=on,wait=off")
	})
	h.powerOn()
	if err := h.boot.WaitReady(h.wait()); err != nil {
		t.Fatal(err)
	}
	h.run("/run/proa/live/proa install --list | grep PULLED")
	h.run("(/run/proa/live/proa install running --disk /dev/sda > /run/said 2>&1; echo exit code $? >> /run/said) &")
	h.run("while [ $(awk '{print $7}' /sys/block/sda/stat) -eq 0 ]; do usleep 100000; done; usleep 2000000")
	c, err := net.Dial("unix", monitor)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, "device_del disk1"); err != nil {
		t.Fatal(err)
	}
	said := h.run("while ! grep -q 'exit code' /run/said; do usleep 200000; done; cat /run/said")
	for _, want := range []string{"error: ", "disk /dev/sda: ", "It boots nothing now; run the same command again", "exit code 1\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q:\n%s", want, said)
		}
	}
	h.run(`list=$(/run/proa/live/proa install --list) && ! echo "$list" | grep PULLED`)
	h.boot.PowerCut()
	content, err := os.ReadFile(pulled)
	if err != nil || len(bytes.Trim(content, "\x00")) == 0 || len(bytes.Trim(content[:34*512], "\x00")) > 0 {
		t.Errorf("want a disk with something, but no table, %v", err)
	}
}
