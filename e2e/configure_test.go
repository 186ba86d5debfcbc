package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sshKey is nobody's.
const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEhv6xZ0mJ4l0HsYkqC8D7m3w8nJ7Y1l3q2k4v5b6c7d you@there"

// ignitionConfig is a host's configuration that says hello.
func ignitionConfig(hello string) string {
	return `{"ignition": {"version": "3.4.0"},
 "passwd": {"users": [{"name": "core", "shell": "/bin/sh", "sshAuthorizedKeys": ["` + sshKey + `"]}]},
 "storage": {"files": [
   {"path": "/etc/hello", "mode": 384, "contents": {"source": "data:,` + hello + `%0A"}},
   {"path": "/etc/hostname", "overwrite": true, "contents": {"source": "data:,edge-7%0A"}}]}}`
}

const cloudConfig = `#cloud-config
fqdn: edge-7.example.org
users:
  - {name: core, shell: /bin/sh, ssh_authorized_keys: [` + sshKey + `]}
write_files:
  - {path: /etc/hello, permissions: '0600', content: "first\n"}
`

// wantConfigured checks that the machine has what the configurations above ask
// for, and that status tells through which door it came.
func (h *host) wantConfigured(door, hello string) {
	h.t.Helper()
	for _, check := range []struct{ command, want string }{
		{"cat /etc/hello", hello},
		{"stat -c %a:%u /etc/hello", "600:0"},
		{"cat /etc/hostname", "edge-7"},
		{"grep ^core: /etc/passwd", "core:x:1000:1000::/var/home/core:/bin/sh"},
		{"cat /var/home/core/.ssh/authorized_keys", sshKey},
		{"stat -c %a:%u:%g /var/home/core/.ssh /var/home/core/.ssh/authorized_keys | xargs echo", "700:1000:1000 600:1000:1000"},
	} {
		if got := strings.TrimSpace(h.run(check.command)); got != check.want {
			h.t.Errorf("%s: %q, want %q", check.command, got, check.want)
		}
	}
	c := h.status(exitOK).Configuration
	if c == nil || !strings.Contains(c.Door, door) || c.Error != "" {
		h.t.Errorf("status: configuration is %+v, want it by %s", c, door)
	}
	if out := h.agent("status --offline", exitOK).Stdout; !strings.Contains(out, "\nconfigured  ") || !strings.Contains(out, door) {
		h.t.Errorf("status:\n%s", out)
	}
}

func TestAMachineIsConfiguredThroughEveryDoor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.ign")
	volume := filepath.Join(dir, "cidata.img")
	for name, text := range map[string]string{file: ignitionConfig("first"), filepath.Join(dir, "user-data"): cloudConfig, filepath.Join(dir, "meta-data"): "instance-id: i-1\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{
		{"mkfs.vfat", "-C", "-n", "CIDATA", volume, "2048"},
		{"mcopy", "-i", volume, filepath.Join(dir, "user-data"), filepath.Join(dir, "meta-data"), "::"},
	} {
		if err := output(exec.CommandContext(t.Context(), command[0], command[1:]...)); err != nil {
			t.Fatal(err)
		}
	}
	for _, door := range []struct {
		name      string
		arguments []string
	}{
		{"SMBIOS credential", []string{"-smbios", "type=11,value=io.systemd.credential.binary:proa.config=" + base64.StdEncoding.EncodeToString([]byte(ignitionConfig("first")))}},
		{"fw_cfg opt/com.coreos/config", []string{"-fw_cfg", "name=opt/com.coreos/config,file=" + file}},
		{"NoCloud volume vdb", []string{"-drive", "if=none,id=seed,format=raw,readonly=on,file=" + volume, "-device", "virtio-blk-pci,drive=seed"}},
	} {
		t.Run(door.name, func(t *testing.T) {
			t.Parallel()
			h := fresh(t, "door", door.arguments...)
			h.start()
			h.wantConfigured(door.name, "first")
		})
	}
}

// TestAMachineIsConfiguredOnceAndAgainWhenTold leaves a file on the boot
// partition, as the installer does: a wrong one, one that is right, and another.
func TestAMachineIsConfiguredOnceAndAgainWhenTold(t *testing.T) {
	t.Parallel()
	h := fresh(t, "configure")
	leave := func(text string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		h.mtools("mcopy", "-o", file, "::/proa/config")
	}
	h.mtools("mmd", "::/proa")
	leave(strings.Replace(ignitionConfig("first"), `"storage": {`, `"storage": {"luks": [{"name": "x", "device": "/dev/vdb"}],`, 1))
	h.start()
	c := h.status(exitOK).Configuration
	if c == nil || c.Outcome != "refused" || !strings.Contains(c.Error, "storage.luks: ") {
		t.Errorf("status with a configuration that is wrong: %+v", c)
	}
	h.run("! test -e /etc/hello && ! grep ^core: /etc/passwd && ! test -e /var/lib/proa/configured.json")
	h.boot.PowerCut()

	leave(ignitionConfig("first"))
	h.start()
	h.wantConfigured("boot partition", "first")
	h.run("echo mine > /etc/mine; sed -i s/edge-7/edge-8/ /etc/hostname; sync")
	h.boot.PowerCut()

	leave(ignitionConfig("second"))
	h.start()
	if out := h.run("cat /etc/hello /etc/hostname"); out != "first\nedge-8\n" {
		t.Errorf("configured again without being told:\n%s", out)
	}
	h.agent("configure --again", exitOK)
	h.runUntilReset("reboot")
	h.start()
	h.wantConfigured("boot partition", "second")
	h.run("test -e /etc/mine")
}

// debianConfig has a user who may log in, and a unit that runs as that user.
const debianConfig = `{"ignition": {"version": "3.4.0"},
 "passwd": {"users": [{"name": "core", "groups": ["adm"], "shell": "/bin/bash", "sshAuthorizedKeys": ["` + sshKey + `"]}]},
 "storage": {"files": [{"path": "/etc/hostname", "overwrite": true, "contents": {"source": "data:,edge-7%0A"}}]},
 "systemd": {"units": [{"name": "edge.service", "enabled": true, "contents":
   "[Service]\nType=oneshot\nRemainAfterExit=yes\nUser=core\nExecStart=/bin/sh -c 'id -un > /var/home/core/ran'\n[Install]\nWantedBy=multi-user.target\n"},
   {"name": "hello.service", "dropins": [{"name": "10-edge.conf", "contents": "[Service]\nNice=7\n"}]}]}}`

// serveConfig serves it on the host's loopback, and returns the words of the
// kernel's command line that name it to a guest.
func serveConfig(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, debianConfig) // a guest that is gone needs none
	}))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	return fmt.Sprintf("proa.config=http://10.0.2.2:%s/edge.ign, proa.config.sha256=%x", port, sha256.Sum256([]byte(debianConfig)))
}

// fetchConfig is the boot without a configuration, in which the machine fetches
// one and reboots.
func (h *host) fetchConfig() {
	h.t.Helper()
	h.powerOn()
	h.awaitReset()
}

// wantConfigFetched checks what the boot after that made of it.
func (h *host) wantConfigFetched() {
	h.t.Helper()
	for _, check := range []struct{ command, want string }{
		{"cat /etc/hostname /proc/sys/kernel/hostname | xargs", "edge-7 edge-7"},
		{"getent passwd core", "core:x:1000:1000::/var/home/core:/bin/bash"},
		{"id -nG core", "core adm"},
		{"systemctl is-active edge.service", "active"},
		{"cat /var/home/core/ran", "core"},
		{"systemctl show -P Nice hello.service", "7"},
		{"cat /var/home/core/.ssh/authorized_keys", sshKey},
	} {
		h.want(check.command, check.want)
	}
	if c := h.status(exitOK).Configuration; c == nil || !strings.HasPrefix(c.Door, "URL http://10.0.2.2:") {
		h.t.Errorf("status: configuration is %+v", c)
	}
}
