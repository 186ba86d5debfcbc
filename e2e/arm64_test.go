package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/partitions"
)

// TestAnArm64MachineUpdatesItself builds releases for arm64 on this machine, whatever it
// is, and boots them with arm64's firmware and loader.
func TestAnArm64MachineUpdatesItself(t *testing.T) {
	t.Parallel()
	const name = "arm64"
	compileForArm64(t, shared.path("bin", name), "cmd/proa-agent", "cmd/proa-init")
	image := newReferenceImage(t, name)
	compileForArm64(t, image.path("overlay", "usr", "sbin"), "machine/appliance/init")
	if err := os.MkdirAll(image.path("overlay", "usr", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range []string{"ip", "usleep", "reboot"} {
		if err := os.Symlink("busybox", image.path("overlay", "usr", "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{base, "1.1.0"} {
		image.write("overlay/etc/motd", version+"\n")
		out := image.buildAs(version)
		if err := shared.proaRun(t.Context(), "repo", "publish", out, "--repo", "repo", "--keys", "keys", "--channel", name, "--deltas", "1"); err != nil {
			t.Fatal(err)
		}
	}

	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := machine.Clone(disk, image.path("out", base, "disk.raw")); err != nil {
		t.Fatal(err)
	}
	m, err := machine.New(machine.Config{Arch: name, Disk: disk, Dir: filepath.Join(dir, "machine"), Memory: machine.MemoryDebian})
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, name: name, machine: m, traffic: shared.front.traffic(name)}
	h.start()
	h.wantRunning(base, partitions.SlotA)
	h.follow(name)
	if u := h.update(exitOK); u.Result != "armed" || u.Version != "1.1.0" || u.Path != "delta" {
		t.Errorf("update: %+v", u)
	}
	h.runUntilReset("reboot")
	h.start()
	h.wantRunning("1.1.0", partitions.SlotB)
	if s := h.status(exitOK); s.Committed != "b" || s.Pending != nil || s.Phase != "good" {
		t.Errorf("status: %+v", s)
	}
}

func compileForArm64(t *testing.T, folder string, programs ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join("..", "testdata", "compile"), append([]string{folder}, programs...)...)
	cmd.Env = append(os.Environ(), "GOARCH=arm64")
	if err := output(cmd); err != nil {
		t.Fatal(err)
	}
}
