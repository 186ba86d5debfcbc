package e2e

import (
	"testing"

	"github.com/proa-os/proa/partitions"
)

func TestAGoodUpdateLeadsAfterItsTrial(t *testing.T) {
	t.Parallel()
	h := fresh(t, "good")
	h.start()
	h.wantRunning(base, partitions.SlotA)
	if s := h.status(exitOK); s.Running.Standing != "committed" || s.Pending != nil || s.Last != nil || len(s.Problems) > 0 {
		t.Errorf("status of a fresh machine: %+v", s)
	}
	h.follow("good")
	u := h.update(exitOK)
	if u.Result != "armed" || u.Version != "1.1.0" || u.Slot != "b" {
		t.Errorf("update: %+v", u)
	}
	// Nobody has more of a small change to fetch than it and the metadata.
	if u.Path != "delta" || u.Patched == 0 || u.Downloaded > 64<<10 {
		t.Errorf("update over a delta: %+v", u)
	}
	if s := h.status(exitOK); s.Pending == nil || s.Pending.Version != "1.1.0" || s.Committed != "a" {
		t.Errorf("status of an armed machine: %+v", s)
	}
	h.runUntilReset("reboot")
	h.start()
	h.wantCommittedUpdate("1.1.0")
	if u := h.update(exitOK); u.Result != "up-to-date" {
		t.Errorf("a second update: %+v", u)
	}
}

func TestAReleaseWhoseHealthCheckFailsGoesBackAndIsBlocked(t *testing.T) {
	t.Parallel()
	h := fresh(t, "unhealthy")
	h.start()
	h.follow("unhealthy", "healthTimeout: 2s", "healthLimit: 4s")
	h.update(exitOK)
	h.runUntilReset("reboot")
	h.powerOn()
	h.awaitReset()
	h.start()
	h.agent("update", exitRefused)
	h.wantBack("1.2.0", "gateway: no answer", true)
}

func TestAReleaseThatPanicsGoesBack(t *testing.T) {
	t.Parallel()
	h := fresh(t, "panic")
	h.start()
	h.follow("panic", "trials: 1")
	h.update(exitOK)
	h.runUntilReset("reboot")
	h.powerOn()
	h.awaitReset()
	h.start()
	h.wantBack("1.3.0", "without a verdict", true)
}

func TestAReleaseThatHangsGoesBack(t *testing.T) {
	t.Parallel()
	h := fresh(t, "hang")
	h.start()
	h.follow("hang")
	h.update(exitOK)
	h.runUntilReset("reboot")
	h.powerOn()
	h.awaitReset()
	h.start()
	h.wantBack("1.4.0", "without a verdict, trial 1 of 3", false)
}
