package machine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/machine/appliance"
	"github.com/proa-os/proa/machine/debian"
)

// directBoot makes what a boot without firmware needs, once for all tests: the
// appliance as an initrd.
var directBoot = sync.OnceValues(func() (machine.Kernel, error) {
	dir, err := os.MkdirTemp("", "proa-machine-test")
	if err != nil {
		return machine.Kernel{}, err
	}
	cache, err := debian.CheckoutDir()
	if err != nil {
		return machine.Kernel{}, err
	}
	root, err := debian.Root(context.Background(), debian.Config{Dir: cache, Log: os.Stderr})
	if err != nil {
		return machine.Kernel{}, err
	}
	init := filepath.Join(dir, "init")
	build := exec.Command("go", "build", "-o", init, "./appliance/init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return machine.Kernel{}, fmt.Errorf("building init: %w: %s", err, out)
	}
	var archive bytes.Buffer
	if err := appliance.WriteRoot(&archive, appliance.Config{Debian: root, Init: init}); err != nil {
		return machine.Kernel{}, err
	}
	kernel := machine.Kernel{
		Image:       filepath.Join(dir, "vmlinuz"),
		Initrd:      filepath.Join(dir, "initrd"),
		CommandLine: "console=ttyS0 quiet panic=1 no_timer_check mitigations=off rdinit=/usr/sbin/init",
	}
	return kernel, splitArchive(&archive, kernel)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if kernel, err := directBoot(); err == nil {
		os.RemoveAll(filepath.Dir(kernel.Image))
	}
	os.Exit(code)
}

// splitArchive writes the kernel of a root archive, and the rest as a cpio
// archive (Documentation/driver-api/early-userspace/buffer-format.rst).
func splitArchive(archive io.Reader, kernel machine.Kernel) error {
	var cpio bytes.Buffer
	add := func(ino int, name string, mode, size int64, content io.Reader) error {
		fmt.Fprintf(&cpio, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			ino, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
		pad(&cpio)
		_, err := io.CopyN(&cpio, content, size)
		pad(&cpio)
		return err
	}
	kinds := map[byte]int64{tar.TypeReg: 0o100000, tar.TypeDir: 0o040000, tar.TypeSymlink: 0o120000}
	in := tar.NewReader(archive)
	for ino := 1; ; ino++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(h.Name, "boot/vmlinuz") {
			content, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			if err := os.WriteFile(kernel.Image, content, 0o644); err != nil {
				return err
			}
			continue
		}
		content, size := io.Reader(in), h.Size
		if h.Typeflag == tar.TypeSymlink {
			content, size = strings.NewReader(h.Linkname), int64(len(h.Linkname))
		}
		if err := add(ino, strings.TrimSuffix(h.Name, "/"), kinds[h.Typeflag]|h.Mode, size, content); err != nil {
			return err
		}
	}
	if err := add(0, "TRAILER!!!", 0, 0, strings.NewReader("")); err != nil {
		return err
	}
	return os.WriteFile(kernel.Initrd, cpio.Bytes(), 0o644)
}

func pad(b *bytes.Buffer) { b.Write(make([]byte, -b.Len()&3)) }

// newMachine is a machine that boots the appliance directly, with an empty disk
// of 1 MiB.
func newMachine(t *testing.T) *machine.Machine { return newMachineWith(t, machine.Config{}) }

// newMachineWith is a machine that boots without firmware, with what more a config says.
func newMachineWith(t *testing.T, config machine.Config) *machine.Machine {
	t.Helper()
	kernel, err := directBoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk, with a comma.raw")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	config.Disk, config.Dir, config.Kernel = disk, filepath.Join(dir, "logs"), &kernel
	m, err := machine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func boot(t *testing.T, m *machine.Machine) *machine.Boot {
	t.Helper()
	b, err := m.Boot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.PowerCut()
		if t.Failed() {
			t.Logf("console of boot %d:\n%s", b.Number, b.Console(40))
		}
	})
	return b
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestCommandsInTheGuestAnswerWithTheirExitCodeAndExactBytes(t *testing.T) {
	t.Parallel()
	b, ctx := boot(t, newMachine(t)), bounded(t)
	for _, c := range []struct {
		command string
		want    machine.Result
	}{
		{"echo out; echo err >&2; exit 3", machine.Result{ExitCode: 3, Stdout: "out\n", Stderr: "err\n"}},
		{`printf 'a\000\377b'`, machine.Result{Stdout: "a\x00\xffb"}},
		{"kill -9 $$", machine.Result{ExitCode: 137}},
		{"sleep 1000 & echo started", machine.Result{Stdout: "started\n"}},
		{"head -c 2097152 /dev/zero | tr '\\000' x", machine.Result{Stdout: strings.Repeat("x", 1<<20)}},
		{"cat /sys/class/net/eth0/operstate; ip route | head -n 1", machine.Result{Stdout: "up\ndefault via 10.0.2.2 dev eth0 \n"}},
		{"modprobe virtio_blk && mkfs.ext4 -q -O ^has_journal /dev/vda", machine.Result{}},
		{"for l in $(find /usr/bin /usr/sbin -type l ! -name mkfs.ext4); do busybox --list | grep -qx ${l##*/} || echo $l; done", machine.Result{}},
	} {
		got, err := b.Run(ctx, c.command)
		if err != nil {
			t.Fatalf("%s: %v", c.command, err)
		}
		if got != c.want {
			t.Errorf("%s: got %.300s, want %.300s", c.command, fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", c.want))
		}
	}
}

func TestAResetEndsTheBootAndTheDiskGoesOn(t *testing.T) {
	t.Parallel()
	m, ctx := newMachine(t), bounded(t)
	first := boot(t, m)
	if _, err := first.Run(ctx, "modprobe virtio_blk && echo kept > /dev/vda && sync"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Boot(ctx); err == nil {
		t.Fatal("a second boot started while the first one ran")
	}
	var ended *machine.EndedError
	if _, err := first.Run(ctx, "reboot; sleep 1000"); !errors.As(err, &ended) || ended.Reason != machine.ReasonReset {
		t.Fatalf("running reboot: %v, want an EndedError with %s", err, machine.ReasonReset)
	}
	if reason, err := first.Wait(ctx); reason != machine.ReasonReset || err != nil {
		t.Fatalf("ended with %q, %v: want %s", reason, err, machine.ReasonReset)
	}

	second := boot(t, m)
	got, err := second.Run(ctx, "modprobe virtio_blk && head -n 1 /dev/vda")
	if err != nil || got.Stdout != "kept\n" {
		t.Fatalf("read %q, %v after the reset", got.Stdout, err)
	}
	if _, err := second.Run(ctx, "poweroff; sleep 1000"); !errors.As(err, &ended) || ended.Reason != machine.ReasonShutdown {
		t.Fatalf("running poweroff: %v, want an EndedError with %s", err, machine.ReasonShutdown)
	}
}

func TestAPowerCutKeepsWhatTheGuestWrote(t *testing.T) {
	t.Parallel()
	m, ctx := newMachine(t), bounded(t)
	b := boot(t, m)
	if _, err := b.Run(ctx, "modprobe virtio_blk && echo kept | dd of=/dev/vda conv=notrunc,fsync"); err != nil {
		t.Fatal(err)
	}
	b.PowerCut()
	if reason, err := b.Wait(ctx); reason != machine.ReasonPowerCut || err != nil {
		t.Fatalf("ended with %q, %v: want %s", reason, err, machine.ReasonPowerCut)
	}
	content, err := os.ReadFile(m.Disk())
	if err != nil || !bytes.HasPrefix(content, []byte("kept\n")) {
		t.Fatalf("the disk starts with %q, %v", content[:8], err)
	}
}

func TestADisplayCanBeLookedAtAndMemoryIsCounted(t *testing.T) {
	t.Parallel()
	b, ctx := boot(t, newMachineWith(t, machine.Config{Screen: true})), bounded(t)
	path := filepath.Join(t.TempDir(), "display.png")
	if err := b.Screenshot(ctx, path); err != nil {
		t.Fatal(err)
	}
	picture, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Close()
	if size, err := png.DecodeConfig(picture); err != nil || size.Width < 320 || size.Height < 200 {
		t.Errorf("the picture has %d by %d points, %v", size.Width, size.Height, err)
	}
	if n := b.PeakMemory(); n != 0 {
		t.Errorf("%d bytes while it runs", n)
	}
	if _, err := os.Stat(b.LastPicture); err == nil {
		t.Error("there is a picture of the end before it")
	}
	var ended *machine.EndedError
	if _, err := b.Run(ctx, "reboot; sleep 1000"); !errors.As(err, &ended) || ended.Reason != machine.ReasonReset {
		t.Fatalf("running reboot: %v, want an EndedError with %s", err, machine.ReasonReset)
	}
	last, err := os.Open(b.LastPicture)
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	if _, err := png.DecodeConfig(last); err != nil {
		t.Errorf("the picture of the end: %v", err)
	}
	if n := b.PeakMemory(); n < 16<<20 || n > 4<<30 {
		t.Errorf("QEMU had %d bytes", n)
	}
	if err := b.Screenshot(ctx, path); !errors.As(err, &ended) {
		t.Errorf("a picture of a machine that is off: %v", err)
	}
	blind := boot(t, newMachine(t))
	if err := blind.Screenshot(ctx, path); err == nil || !strings.Contains(err.Error(), "taking a picture of the display: ") {
		t.Errorf("a picture of a machine without a display: %v", err)
	}
}

func TestAPanicEndsTheBoot(t *testing.T) {
	t.Parallel()
	b, ctx := boot(t, newMachine(t)), bounded(t)
	var ended *machine.EndedError
	if _, err := b.Run(ctx, "echo c > /proc/sysrq-trigger"); !errors.As(err, &ended) || ended.Reason != machine.ReasonReset {
		t.Fatalf("a panic with panic=1: %v, want an EndedError with %s", err, machine.ReasonReset)
	}
	if !strings.Contains(b.Console(100), "anic") {
		t.Error("the console says nothing of the panic")
	}
}

func TestTheEndOfTheContextEndsQEMU(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b, err := newMachine(t).Boot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if reason, err := b.Wait(bounded(t)); reason != machine.ReasonPowerCut || err != nil {
		t.Errorf("ended with %q, %v: want %s", reason, err, machine.ReasonPowerCut)
	}
	if err := b.WaitReady(bounded(t)); err == nil {
		t.Error("a machine that was switched off got ready")
	}
}

func TestACrashOfQEMUShowsWhatItSaid(t *testing.T) {
	t.Parallel()
	kernel, err := directBoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m, err := machine.New(machine.Config{
		Disk: kernel.Image, Dir: dir, Kernel: &kernel, Arguments: []string{"-device", "no-such-device"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Boot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reason, err := b.Wait(bounded(t))
	if reason != machine.ReasonCrashed || err == nil || !strings.Contains(err.Error(), "no-such-device") {
		t.Errorf("ended with %q, %v", reason, err)
	}
}
