package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/partitions"
)

// patience bounds every single wait. It is far more than any takes: emulation
// on a busy machine is slow, and no test is about time.
const patience = 10 * time.Minute

// host is one machine of one test.
type host struct {
	t       *testing.T
	name    string // in the front's URLs
	machine *machine.Machine
	boot    *machine.Boot // the newest
	traffic *traffic
}

// newHost is a machine with a copy of a disk and of a variable store; an empty
// vars means a blank one. It is off.
func newHost(t *testing.T, name, disk, vars string, arguments ...string) *host {
	t.Helper()
	return newHostWith(t, name, disk, vars, machine.MemoryAppliance, arguments...)
}

// newHostWith is newHost with memory in MiB. arguments are more of QEMU's.
func newHostWith(t *testing.T, name, disk, vars string, memory int, arguments ...string) *host {
	t.Helper()
	dir := t.TempDir()
	copied := filepath.Join(dir, "disk.raw")
	if err := machine.Clone(copied, disk); err != nil {
		t.Fatal(err)
	}
	firmware, err := machine.FindFirmware()
	if err != nil {
		t.Fatal(err)
	}
	if vars != "" {
		firmware.Vars = vars
	}
	m, err := machine.New(machine.Config{Disk: copied, Dir: filepath.Join(dir, "machine"), Firmware: firmware, Memory: memory, Arguments: arguments})
	if err != nil {
		t.Fatal(err)
	}
	return &host{t: t, name: name, machine: m, traffic: shared.front.traffic(name)}
}

// fresh is a host with the base release as a factory would leave it.
func fresh(t *testing.T, name string, arguments ...string) *host {
	t.Helper()
	return newHost(t, name, filepath.Join(shared.release(t, base), "disk.raw"), "", arguments...)
}

// wait is the context of one wait.
func (h *host) wait() context.Context {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	h.t.Cleanup(cancel)
	return ctx
}

// powerOn boots the machine and goes on at once.
func (h *host) powerOn() {
	h.t.Helper()
	b, err := h.machine.Boot(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	h.boot = b
	h.t.Cleanup(func() {
		b.PowerCut()
		if h.t.Failed() {
			h.t.Logf("end of the console of boot %d:\n%s", b.Number, b.Console(40))
		}
	})
}

// start boots the machine and waits until it answers and the judge, which
// starts before that, has ended.
func (h *host) start() {
	h.t.Helper()
	h.powerOn()
	if err := h.boot.WaitReady(h.wait()); err != nil {
		h.t.Fatal(err)
	}
	ready := time.Since(h.boot.Start)
	h.run("while pidof proa-agent > /dev/null; do usleep 200000; done")
	h.t.Logf("boot %d: ready after %.1f s, judged after %.1f s", h.boot.Number, ready.Seconds(), time.Since(h.boot.Start).Seconds())
}

// run runs a command in the guest that must succeed.
func (h *host) run(command string) string {
	h.t.Helper()
	r, err := h.boot.Run(h.wait(), command)
	if err != nil {
		h.t.Fatal(err)
	}
	if r.ExitCode != 0 {
		h.t.Fatalf("%s: exit code %d\n%s%s", command, r.ExitCode, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// awaitReset waits until the guest resets itself.
func (h *host) awaitReset() {
	h.t.Helper()
	reason, err := h.boot.Wait(h.wait())
	if err != nil {
		h.t.Fatal(err)
	}
	if reason != machine.ReasonReset {
		h.t.Fatalf("boot %d ended with %s, want %s", h.boot.Number, reason, machine.ReasonReset)
	}
}

// runUntilReset runs a command whose last act is a reset.
func (h *host) runUntilReset(command string) {
	h.t.Helper()
	r, err := h.boot.Run(h.wait(), command)
	var ended *machine.EndedError
	if err != nil && !errors.As(err, &ended) {
		h.t.Fatal(err)
	}
	if err == nil && r.ExitCode != 0 {
		h.t.Fatalf("%s: exit code %d\n%s%s", command, r.ExitCode, r.Stdout, r.Stderr)
	}
	h.awaitReset()
}

// follow points the agent at a channel, as seen by this test, and adds lines to
// its configuration.
func (h *host) follow(channel string, more ...string) {
	h.t.Helper()
	shared.publish(h.t, channel)
	text := fmt.Sprintf("repository: %s\nchannel: %s\n", shared.front.url(h.name), channel)
	for _, line := range more {
		text += line + "\n"
	}
	h.run(fmt.Sprintf("mkdir -p /etc/proa && cat > /etc/proa/agent.yaml <<'END'\n%sEND\nsync", text))
}

// bootedSlot is what proa-init noted about this boot.
func (h *host) bootedSlot() partitions.Slot {
	h.t.Helper()
	var record struct {
		Slot partitions.Slot `json:"slot"`
	}
	text := h.run("cat /run/proa/boot.json")
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		h.t.Fatalf("boot.json: %v: %s", err, text)
	}
	return record.Slot
}

// wantRunning checks which release runs, and from which slot.
func (h *host) wantRunning(version string, slot partitions.Slot) {
	h.t.Helper()
	var image struct {
		Version string `json:"version"`
	}
	text := h.run("cat /usr/lib/proa/image.json")
	if err := json.Unmarshal([]byte(text), &image); err != nil {
		h.t.Fatalf("image.json: %v: %s", err, text)
	}
	if got := h.bootedSlot(); image.Version != version || got != slot {
		h.t.Fatalf("boot %d: release %s runs from slot %s, want %s from %s", h.boot.Number, image.Version, got, version, slot)
	}
}
