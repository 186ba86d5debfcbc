package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// forget takes the machine's variables away, as a firmware does that does not
// keep them.
func (h *host) forget() {
	h.t.Helper()
	if err := h.machine.ForgetVariables(); err != nil {
		h.t.Fatal(err)
	}
}

// bootControl is what the tests look at in proa-agent boot-control show --json.
type bootControl struct {
	Backend string `json:"backend"`
	Counts  bool   `json:"counts"`
	Booted  string `json:"booted"`
	Probe   struct {
		Outcome string `json:"outcome"`
	} `json:"probe"`
}

func (h *host) bootControl() (b bootControl) {
	h.t.Helper()
	r := h.agent("boot-control show --json", exitOK)
	if err := json.Unmarshal([]byte(r.Stdout), &b); err != nil {
		h.t.Fatalf("boot-control show --json: %v: %s", err, r.Stdout)
	}
	return b
}

// entries are the names of the loader's entries, as mtools reads them.
func (h *host) entries() string {
	h.t.Helper()
	return strings.Join(strings.Fields(string(h.mtools("mdir", "-b", "::/loader/entries"))), " ")
}

func TestTrialsAreCountedOnFirmwareThatForgets(t *testing.T) {
	t.Parallel()
	h := fresh(t, "counted")
	h.start()
	h.agent("boot-control probe", exitOK)
	h.agent("boot-control use counted", exitOK)
	h.follow("panic", "trials: 1")
	h.runUntilReset("reboot")

	h.forget()
	h.start()
	h.agent("boot-control probe", exitOK)
	if b := h.bootControl(); b.Backend != "counted" || !b.Counts || b.Booted != "a" || b.Probe.Outcome != "lost" {
		t.Errorf("boot control: %+v", b)
	}
	if u := h.update(exitOK); u.Result != "armed" || u.Slot != "b" {
		t.Errorf("update: %+v", u)
	}
	h.runUntilReset("reboot")

	// Two boots in a row, and back without anybody's help.
	h.mtools("mren", "::/loader/entries/t-a+1-0.conf", "::/loader/entries/t-a+2-0.conf")
	for _, after := range []string{"t-a+1-1.conf", "t-a+0-2.conf"} {
		h.forget()
		h.powerOn()
		h.awaitReset()
		if got := h.entries(); !strings.Contains(got, after) {
			t.Errorf("entries after boot %d: %s, want %s among them", h.boot.Number, got, after)
		}
	}
	h.forget()
	h.start()
	h.wantRunning(base, partitions.SlotA)
	if s := h.status(exitWentBack); s.Last == nil || s.Last.Version != "1.3.0" || !strings.Contains(s.Last.Reason, "without a verdict") {
		t.Errorf("status: %+v", s)
	}
	h.follow("good")
	h.update(exitOK)
	h.runUntilReset("reboot")

	h.forget()
	h.start()
	h.wantCommittedUpdate("1.1.0")
}
