package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// The agent's program is read after the root was opened and init has started:
// from then on dm-verity resets the machine, so that only counting boots helps.
func TestACommittedSlotThatRotsIsLeftForTheOther(t *testing.T) {
	t.Parallel()
	h := armedHost(t)
	h.start()
	h.wantRunning("1.1.0", partitions.SlotB)
	h.boot.PowerCut()
	h.wantCommitted(partitions.SlotB)

	agent, err := os.ReadFile(shared.path("bin", "proa-agent"))
	if err != nil {
		t.Fatal(err)
	}
	at := h.locate(partitions.RoleRootB, agent[:4096])
	h.overwrite(partitions.RoleRootB, at, []byte("\x00rot"))
	// Three boots that do not come up, and one that finds out why.
	for range 4 {
		h.powerOn()
		h.awaitReset()
	}
	h.start()
	h.wantRunning(base, partitions.SlotA)
	var note struct {
		Selected  string `json:"selected"`
		Fallbacks int    `json:"fallbacks"`
	}
	if err := json.Unmarshal([]byte(h.run("cat /run/proa/boot.json")), &note); err != nil || note.Selected != "a" || note.Fallbacks != 1 {
		t.Errorf("boot.json: %+v, %v", note, err)
	}
	s := h.status(exitOK)
	if s.Running.Standing != "visiting" || s.Committed != "b" || !strings.Contains(s.Degraded, "slot a stands in") {
		t.Errorf("status: %+v", s)
	}
}
