package e2e

import (
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// TestAFactoryResetForgetsEverythingButTheRelease runs on 1.1.0, which came by
// an update, and updates again afterwards.
func TestAFactoryResetForgetsEverythingButTheRelease(t *testing.T) {
	t.Parallel()
	h := armedHost(t)
	h.start()
	h.wantRunning("1.1.0", partitions.SlotB)
	h.run("echo mine > /var/mine; echo mine > /etc/mine; echo mine >> /etc/hosts")
	h.agent("factory-reset", 2)
	h.agent("factory-reset --yes", exitOK)
	if out := h.run("cat /var/mine /etc/mine; ls /var/lib/proa/agent/metadata"); !strings.Contains(out, "mine\nmine\n") || !strings.Contains(out, "root.json") {
		t.Errorf("something was forgotten before the boot: %s", out)
	}
	h.agent("update", exitRefused)
	h.runUntilReset("reboot")

	h.start()
	h.wantRunning("1.1.0", partitions.SlotB)
	h.want("ls -d /var/mine /etc/mine /etc/proa/agent.yaml /var/lib/proa/agent 2> /dev/null; cat /etc/hosts", "127.0.0.1 localhost")
	if out := h.agent("etc diff", exitOK).Stdout; out != "nothing is changed in /etc\n" {
		t.Errorf("etc diff: %s", out)
	}
	h.want("grep -c '\"factoryReset\":true' /run/proa/boot.json", "1")
	if s := h.status(exitOK); s.Running.Standing != "committed" || s.Committed != "b" || len(s.Problems) > 0 || s.Last == nil || s.Last.Version != "1.1.0" {
		t.Errorf("status: %+v", s)
	}
	// What is trusted comes with the image, so updates go on.
	h.follow("state")
	if u := h.update(exitOK); u.Result != "armed" || u.Version != "1.5.0" {
		t.Errorf("update after the reset: %+v", u)
	}
	h.run("echo new > /var/new; sync")
	h.boot.PowerCut()
	h.start()
	h.want("cat /var/new", "new") // it was reset once
}
