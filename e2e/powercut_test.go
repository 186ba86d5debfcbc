package e2e

import (
	"testing"
	"time"

	"github.com/proa-os/proa/partitions"
)

func TestAPowerCutDuringTheDownloadDoesNotFetchTwice(t *testing.T) {
	t.Parallel()
	h := fresh(t, "cut")
	h.start()
	h.follow("large")
	h.traffic.slowDown(4 << 20)
	h.run("proa-agent update --json > /run/update.log 2>&1 &")
	for ctx := h.wait(); h.traffic.artifacts() < noise*3/4; {
		select {
		case <-ctx.Done():
			t.Fatalf("%d bytes of %d were fetched:\n%s", h.traffic.artifacts(), noise, h.run("cat /run/update.log"))
		case <-time.After(50 * time.Millisecond):
		}
	}
	arrived := h.traffic.artifacts()
	h.run("sync") // what came so far outlives the power cut
	h.boot.PowerCut()
	h.wantCommitted(partitions.SlotA)
	sent := h.traffic.artifacts()
	h.traffic.slowDown(0)

	h.start()
	h.wantRunning(base, partitions.SlotA)
	u := h.update(exitOK)
	if u.Result != "armed" || u.Path != "index" || u.Reused == 0 {
		t.Errorf("update after the cut: %+v", u)
	}
	// Chunks under way, what was between the two in buffers, and the chunk index.
	const slack = 6 << 20
	if again := h.traffic.artifacts() - sent; again > noise-arrived+slack {
		t.Errorf("%d bytes of %d were fetched before the cut, and %d after it", arrived, noise, again)
	}
	h.runUntilReset("reboot")
	h.start()
	h.wantCommittedUpdate("1.6.0")
}

func TestAPowerCutDuringTheTrialGoesBack(t *testing.T) {
	t.Parallel()
	h := fresh(t, "undecided")
	h.start()
	h.follow("unhealthy", "healthTimeout: 1s", "healthLimit: 1h")
	h.update(exitOK)
	h.runUntilReset("reboot")
	h.powerOn()
	h.wantRunning("1.2.0", partitions.SlotB)
	if s := h.status(exitOK); s.Running.Standing != "trial" || s.Committed != "a" {
		t.Errorf("status during a trial: %+v", s)
	}
	h.boot.PowerCut()
	h.wantCommitted(partitions.SlotA)
	h.start()
	h.wantBack("1.2.0", cameBack, false)
}
