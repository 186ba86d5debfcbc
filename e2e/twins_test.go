package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/partitions/esp"
)

// TestOfTwoDisksThatLookAlikeTheOneThatWasBootedIsTaken has the same image on
// two disks. The firmware boots the second one, since the first has no loader any
// more; but for that they are the same.
func TestOfTwoDisksThatLookAlikeTheOneThatWasBootedIsTaken(t *testing.T) {
	t.Parallel()
	second := filepath.Join(t.TempDir(), "second.raw")
	if err := machine.Clone(second, filepath.Join(shared.release(t, base), "disk.raw")); err != nil {
		t.Fatal(err)
	}
	h := fresh(t, "twins", "-drive", "if=none,id=second,format=raw,cache=writeback,file="+second, "-device", "virtio-blk-pci,drive=second")
	h.mtools("mdel", "::/"+esp.LoaderPath("amd64"))
	h.start()
	var record struct {
		Disk  string   `json:"disk"`
		Twins []string `json:"twins"`
		Var   string   `json:"var"`
	}
	if err := json.Unmarshal([]byte(h.run("cat /run/proa/boot.json")), &record); err != nil {
		t.Fatal(err)
	}
	if record.Disk != "/dev/vdb" || record.Var != "persistent" || strings.Join(record.Twins, " ") != "/dev/vda" {
		t.Errorf("boot.json: %+v", record)
	}
	if out := h.run("cat /proc/mounts"); !strings.Contains(out, "/dev/vdb7 /var ") {
		t.Errorf("mounts:\n%s", out)
	}
	s := h.status(exitOK)
	if len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "/dev/vda") {
		t.Errorf("status: %+v", s)
	}
}
