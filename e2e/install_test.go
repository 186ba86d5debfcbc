package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// install installs onto the file of a disk that is made for it.
func install(t *testing.T, size string, args ...string) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk.raw")
	if err := shared.proaRun(t.Context(), append([]string{"install", "--disk", disk, "--size", size}, args...)...); err != nil {
		t.Fatal(err)
	}
	if err := shared.proaRun(t.Context(), "verify", disk); err != nil {
		t.Fatal(err)
	}
	return disk
}

// TestInstalledDiskBoots installs from the folder of a build onto a disk that is larger
// than the build's own, with a configuration.
func TestInstalledDiskBoots(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.ign")
	if err := os.WriteFile(config, []byte(`{"ignition": {"version": "3.4.0"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, "installed", install(t, "1500MiB", shared.release(t, base), "--config", config), "")
	h.start()
	h.wantRunning(base, partitions.SlotA)
	h.wantCommitted(partitions.SlotA)
	if kib := h.run("df -k /var | tail -n 1 | awk '{print $2}'"); len(strings.TrimSpace(kib)) < 6 {
		t.Errorf("/var has %s KiB", kib)
	}
	h.run("touch /var/kept && sync")
	h.runUntilReset("reboot -f")
	h.start()
	h.run("test -e /var/kept")
}

// TestDiskWithLargeSectorsBoots installs from a repository onto a disk with sectors
// of 4096 bytes.
func TestDiskWithLargeSectorsBoots(t *testing.T) {
	shared.publish(t, "base")
	disk := install(t, "1500MiB", strings.Replace(shared.front.url("large-sectors"), "10.0.2.2", "127.0.0.1", 1), "--channel", "base", "--trust-root", shared.path("repo", "metadata", "root.json"), "--sector-size", "4096")
	h := newHost(t, "large-sectors", disk, "",
		"-global", "virtio-blk-pci.logical_block_size=4096", "-global", "virtio-blk-pci.physical_block_size=4096")
	h.start()
	h.wantRunning(base, partitions.SlotA)
	if size := strings.TrimSpace(h.run("cat /sys/block/vda/queue/logical_block_size")); size != "4096" {
		t.Errorf("sectors of %s bytes", size)
	}
	h.run("proa-agent status && proa-agent boot-control show")
}
