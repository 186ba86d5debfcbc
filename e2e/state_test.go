package e2e

import (
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// TestWhatAMachineKeepsIsToldTakenBackAndMigrated goes to a release that brings
// another /etc/hosts and a migration of /var, and back.
func TestWhatAMachineKeepsIsToldTakenBackAndMigrated(t *testing.T) {
	t.Parallel()
	h := fresh(t, "state")
	h.start()
	if out := h.agent("etc diff", exitOK).Stdout; out != "nothing is changed in /etc\n" {
		t.Errorf("etc diff on a fresh machine: %s", out)
	}
	h.follow("state", "watch: 0s")
	h.run("echo 10.0.0.1 mine >> /etc/hosts; rm /etc/hostname")
	out := h.agent("etc diff", exitOK).Stdout
	for _, want := range []string{"modified   /etc/hosts\n", "deleted    /etc/hostname\n", "added      /etc/proa/agent.yaml\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("etc diff has no %q:\n%s", want, out)
		}
	}
	if out := h.agent("etc diff /etc/hosts", exitOK).Stdout; !strings.Contains(out, "\n 127.0.0.1 localhost\n+10.0.0.1 mine\n") {
		t.Errorf("etc diff /etc/hosts:\n%s", out)
	}
	if notes := h.agent("update", exitOK).Stderr; !strings.Contains(notes, "/etc/hosts is modified here, and stays so: the release has it modified") {
		t.Errorf("update says\n%s", notes)
	}
	h.agent("etc reset /etc/hosts /etc/hostname", exitOK)
	h.runUntilReset("reboot")

	h.start()
	h.wantRunning("1.5.0", partitions.SlotB)
	if out := h.run("cat /etc/hosts /etc/hostname"); !strings.Contains(out, "localhost release") || strings.Contains(out, "mine") || !strings.Contains(out, "appliance") {
		t.Errorf("/etc after the reset: %s", out)
	}
	if out := h.run("cat /var/migrated"); out != "up to 2\n" {
		t.Errorf("/var/migrated: %s", out)
	}
	h.agent("rollback", exitOK)
	if out := h.run("cat /var/migrated"); out != "up to 2\ndown to 1\n" {
		t.Errorf("/var/migrated: %s", out)
	}
	h.runUntilReset("reboot")

	h.start()
	h.wantRunning(base, partitions.SlotA)
	if s := h.status(exitOK); s.Committed != "a" || len(s.Problems) > 0 {
		t.Errorf("status after the way back: %+v", s)
	}
}
