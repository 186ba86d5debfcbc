package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/partitions"
)

// convert converts the base release, and returns the path of the output.
func convert(t *testing.T, format string, more ...string) string {
	t.Helper()
	release := shared.release(t, base)
	out := filepath.Join(t.TempDir(), "image")
	if err := shared.proaRun(t.Context(), append([]string{"convert", release, "--format", format, "-o", out}, more...)...); err != nil {
		t.Fatal(err)
	}
	return out
}

// blankHost is a machine with a disk that has never been written to. It is off.
func blankHost(t *testing.T, name string, size int64, change func(*machine.Config)) *host {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := errors.Join(os.WriteFile(disk, nil, 0o644), os.Truncate(disk, size)); err != nil {
		t.Fatal(err)
	}
	config := machine.Config{Disk: disk, Dir: filepath.Join(dir, "machine")}
	change(&config)
	m, err := machine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return &host{t: t, name: name, machine: m, traffic: shared.front.traffic(name)}
}

// TestDisksOfEveryFormatBoot lets QEMU read what others will: its drivers are not
// those that wrote the raw formats.
func TestDisksOfEveryFormatBoot(t *testing.T) {
	t.Parallel()
	unpack := func(t *testing.T, archive, name string, options ...string) string {
		dir := t.TempDir()
		if err := output(exec.Command("tar", append(options, "-xf", archive, "-C", dir)...)); err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s in the archive: %q, %v", name, found, err)
		}
		return found[0]
	}
	for _, test := range []struct {
		format, driver string
		disk           func(t *testing.T, converted string) string
	}{
		{"qcow2", "qcow2", nil},
		{"vhd", "vpc", nil},
		{"ova", "vmdk", func(t *testing.T, converted string) string { return unpack(t, converted, "*.vmdk") }},
		{"gce", "raw", func(t *testing.T, converted string) string { return unpack(t, converted, "disk.raw", "-z") }},
	} {
		t.Run(test.format, func(t *testing.T) {
			disk := convert(t, test.format)
			if test.disk != nil {
				disk = test.disk(t, disk)
			}
			if info, err := os.Stat(disk); err != nil || test.format == "gce" && info.Size() != 1<<30 {
				t.Errorf("a disk of %d bytes, %v", info.Size(), err)
			}
			h := blankHost(t, "formats-"+test.format, 1<<20, func(c *machine.Config) {
				c.Arguments = []string{
					"-drive", "if=none,id=image,snapshot=on,format=" + test.driver + ",file=" + disk,
					"-device", "virtio-blk-pci,drive=image",
				}
			})
			h.start()
			h.wantRunning(base, partitions.SlotA)
			h.want("cat /sys/block/vdb/vdb7/partition; grep -c ' /var ext4 ' /proc/mounts", "7\n1")
		})
	}
}

// liveMedium is an ISO image as a device of the guest, whose kernel has no
// drivers for SATA and USB.
func liveMedium(iso, device string) func(*machine.Config) {
	return func(c *machine.Config) {
		c.Memory = 512 // the initrd holds the installer
		c.Arguments = []string{
			"-device", "virtio-scsi-pci",
			"-drive", "if=none,id=medium,readonly=on,format=raw,file=" + iso,
			"-device", device + ",drive=medium",
		}
	}
}

// wantLive checks that a live system comes up, whose root is on the device.
func (h *host) wantLive(device string) {
	h.t.Helper()
	if err := h.boot.WaitReady(h.wait()); err != nil {
		h.t.Fatal(err)
	}
	for _, check := range []struct{ command, want string }{
		{"cat /usr/lib/proa/image.json | grep -c '\"version\": *\"" + base + "\"'", "1"},
		{"ls /sys/block/$(basename $(readlink /run/proa/live/root.erofs))/slaves | xargs", device},
		{"cd /run/proa/live && ls | xargs", "layout.json loader.efi proa release.json root.erofs root.verity uki.efi"},
		{"ls /run/systemd/system | xargs", "multi-user.target.wants proa-install.service"},
		{"touch /var/written /etc/written && grep -cE ' /(var|etc) overlay ' /proc/mounts", "2"},
		{"dmesg | grep -c 'WILL BE LOST'", "0"},
		{"proa-agent status 2>&1 | head -n 1", "error: this is a live system, which is not updated"},
		{"/run/proa/live/proa inspect /run/proa/live/uki.efi | grep -c 'root hash '$(sed 's/.*proa.roothash=\\([0-9a-f]*\\).*/\\1/' /proc/cmdline)", "1"},
	} {
		h.want(check.command, check.want)
	}
}

func TestALiveSystemStartsFromADiscAndFromAStick(t *testing.T) {
	t.Parallel()
	iso := convert(t, "iso")
	for device, name := range map[string]string{"scsi-cd": "sr0", "scsi-hd": "sda"} {
		t.Run(name, func(t *testing.T) {
			h := blankHost(t, "live-"+name, 64<<20, liveMedium(iso, device))
			h.powerOn()
			h.wantLive(name)
			h.boot.PowerCut()
			disk, err := os.ReadFile(h.machine.Disk())
			if err != nil || len(bytes.Trim(disk, "\x00")) > 0 {
				t.Errorf("the machine's disk was written to: %v", err)
			}
		})
	}
}

func TestALiveSystemStartsFromTheNetwork(t *testing.T) {
	t.Parallel()
	set := convert(t, "pxe", "--append", "note=network")
	h := blankHost(t, "live-network", 64<<20, func(c *machine.Config) {
		c.Memory = 768
		c.Netboot = &machine.Netboot{Folder: set, File: "live.efi"}
	})
	h.powerOn()
	// 66 MB in 46,000 packets, each of which is waited for.
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	if err := h.boot.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	h.wantLive("")
	h.want("readlink /run/proa/live/root.erofs; grep -c ' note=network' /proc/cmdline", "/dev/loop0\n1")
}

// TestALiveSystemStartsFromIPXE has iPXE on a stick, which asks the network for what
// to do and is told as docs/how-to/image-formats.md has it.
func TestALiveSystemStartsFromIPXE(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.FileServer(http.Dir(convert(t, "pxe"))))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	told, stick := t.TempDir(), filepath.Join(t.TempDir(), "stick")
	script := "#!ipxe\nchain http://10.0.2.2:" + port + "/boot.ipxe\n"
	if err := os.WriteFile(filepath.Join(told, "told.ipxe"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{
		exec.Command("mkfs.vfat", "-C", stick, "4096"),
		exec.Command("mmd", "-i", stick, "::/EFI", "::/EFI/BOOT"),
		exec.Command("mcopy", "-i", stick, "/usr/lib/ipxe/ipxe.efi", "::/EFI/BOOT/BOOTX64.EFI"),
	} {
		if err := output(cmd); err != nil {
			t.Fatal(err)
		}
	}
	h := blankHost(t, "live-ipxe", 64<<20, func(c *machine.Config) {
		c.Memory = 768
		c.Netboot = &machine.Netboot{Folder: told, File: "told.ipxe"}
		c.Arguments = []string{"-drive", "if=none,id=stick,format=raw,file=" + stick, "-device", "virtio-blk-pci,drive=stick"}
	})
	h.powerOn()
	h.wantLive("")
	h.want("readlink /run/proa/live/root.erofs; grep -c ' initrd=initrd ' /proc/cmdline", "/dev/loop0\n1")
}

// TestALiveSystemInstallsItself takes a machine with a blank disk to one that is
// installed, configured and updated, with nobody there.
func TestALiveSystemInstallsItself(t *testing.T) {
	t.Parallel()
	const config = `{"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/etc/hello", "contents": {"source": "data:,hello"}}]}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, config)
	}))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	iso := convert(t, "iso", "--append", "proa.install=auto", "--append", "proa.install.config=http://10.0.2.2:"+port+"/edge.ign",
		"--append", fmt.Sprintf("proa.install.config.sha256=%x", sha256.Sum256([]byte(config))))

	h := blankHost(t, "live-install", 1<<30, liveMedium(iso, "scsi-cd"))
	h.powerOn()
	if reason, err := h.boot.Wait(h.wait()); err != nil || reason != machine.ReasonShutdown {
		t.Fatalf("the installation ended with %s, %v; want %s", reason, err, machine.ReasonShutdown)
	}
	if err := shared.proaRun(t.Context(), "verify", h.machine.Disk()); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sgdisk", "-v", h.machine.Disk()).CombinedOutput(); err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk -v: %v\n%s", err, out)
	}

	// The same machine without the disc, which knows its disk by now.
	firmware, err := machine.FindFirmware()
	if err != nil {
		t.Fatal(err)
	}
	firmware.Vars = h.machine.Variables()
	h.machine, err = machine.New(machine.Config{Disk: h.machine.Disk(), Dir: filepath.Join(t.TempDir(), "machine"), Firmware: firmware})
	if err != nil {
		t.Fatal(err)
	}
	h.start()
	h.wantRunning(base, partitions.SlotA)
	h.want("cat /etc/hello; echo; proa-agent status --offline | grep -c ^configured", "hello\n1")
	h.follow("good")
	h.update(exitOK)
	h.runUntilReset("reboot")
	h.start()
	h.wantCommittedUpdate("1.1.0")
	h.want("cat /etc/hello; echo; proa-agent status --offline | grep -c ^configured", "hello\n1")
}
