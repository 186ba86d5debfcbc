package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/machine/rpmrepository"
	"github.com/proa-os/proa/machine/workshop"
	"github.com/proa-os/proa/partitions"
)

func TestAnImageOfDebianPackagesBoots(t *testing.T) {
	t.Parallel()
	image := newReferenceImage(t, "debian", "proa.watchdog=120]", "proa.watchdog=120, "+serveConfig(t)+"]")
	h := bootDebian(t, "debian", image, (*host).fetchConfig)
	h.wantConfigFetched()
}

func TestAnImageFromARegistryBoots(t *testing.T) {
	t.Parallel()
	image := newReferenceImage(t, "debian-oci", "localhost:5000", startRegistry(t))
	bootDebian(t, "debian-oci", image)
}

// bootDebian builds and boots a Debian, and checks that it is whole; before are
// boots that come first.
func bootDebian(t *testing.T, name string, image referenceImage, before ...func(*host)) *host {
	t.Helper()
	image.write("release/usr/share/hello/message", "hello from "+base+"\n")
	if err := workshop.AddGuest(t.Context(), image.path("release")); err != nil {
		t.Fatal(err)
	}
	h := newHostWith(t, name, filepath.Join(image.build(), "disk.raw"), "", machine.MemoryDebian)
	for _, boot := range before {
		boot(h)
	}
	h.powerOn()
	if err := h.boot.WaitReady(h.wait()); err != nil {
		t.Fatal(err)
	}
	// The exit code is 0 only when no unit has failed.
	h.run("systemctl is-system-running --wait || { systemctl --failed --no-pager; exit 1; }")
	h.wantRunning(base, partitions.SlotA)
	for _, check := range []struct{ command, want string }{
		{"systemctl is-active ssh dbus systemd-udevd systemd-networkd hello | sort | uniq -c | xargs", "5 active"},
		{"cat /run/hello", "hello from " + base},
		{"ip -brief -4 address show scope global | awk '{print $3}'", "10.0.2.15/24"},
		{"timeout 20 bash -c 'head -c 8 < /dev/tcp/127.0.0.1/22'", "SSH-2.0-"},
		{"dpkg-query -W -f '${db:Status-Abbrev}\n' | sort -u | xargs", "ii"},
		{"dpkg-query -W -f '${Package}\n' openssh-server systemd | xargs", "openssh-server systemd"},
		{"dpkg --audit; dpkg -V base-files libc6 libpam-modules openssh-server udev", ""},
		{"getent passwd messagebus sshd systemd-network | cut -d: -f1 | xargs", "messagebus sshd systemd-network"},
		{"stat -c %U:%G:%a /usr/lib/dbus-1.0/dbus-daemon-launch-helper /usr/bin/passwd /etc/shadow | xargs", "root:messagebus:4754 root:root:4755 root:shadow:640"},
		{"ldconfig -p | grep -c 'libsystemd.so.0 '; ldd /usr/sbin/sshd /usr/bin/perl /usr/lib/systemd/systemd | grep -c 'not found'", "1\n0"},
		{"modprobe nf_tables && lsmod | grep -c ^nf_tables", "1"},
		{"for m in / /etc /tmp /var; do findmnt -n -o FSTYPE $m; done | xargs", "erofs overlay tmpfs ext4"},
		{"test -h /bin/awk -a -s /etc/ssl/certs/ca-certificates.crt && awk 'BEGIN {print \"awk\"}'", "awk"},
	} {
		h.want(check.command, check.want)
	}
	h.wantIdentity()
	if s := h.status(exitOK); s.Running.Standing != "committed" || len(s.Problems) > 0 {
		t.Errorf("status: %+v", s)
	}
	return h
}

func TestAnImageOfRPMPackagesBoots(t *testing.T) {
	t.Parallel()
	repository, url := startRPMRepository(t)
	image := newReferenceImage(t, "rpm", "http://localhost:8000", url)
	key, err := os.ReadFile(filepath.Join(repository, rpmrepository.Key))
	if err != nil {
		t.Fatal(err)
	}
	image.write("key.asc", string(key))
	out := image.build()
	wantRPMDatabase(t, filepath.Join(out, "root.erofs"), repository)

	h := newHost(t, "rpm", filepath.Join(out, "disk.raw"), "")
	h.start()
	h.wantRunning(base, partitions.SlotA)
	for _, check := range []struct{ command, want string }{
		{"grep -c ^gateway: /etc/passwd /etc/group | xargs", "/etc/passwd:1 /etc/group:1"},
		{"stat -c %U:%G:%a /var/lib/gateway /etc/gateway.conf /usr/bin/busybox-gateway | xargs", "gateway:gateway:750 root:gateway:640 root:root:755"},
		{"su -s /usr/bin/sh gateway -c 'busybox-gateway grep CapEff /proc/self/status'", "CapEff:\t0000000000002000"},
		{"ls -A /var/lib/gateway", ""}, // the package owns a ghost there
		{"mkfs.ext4 -V 2>&1 | head -n 1 | cut -d' ' -f1", "mke2fs"},
		{"modprobe loop && lsmod | grep -c ^loop", "1"},
	} {
		h.want(check.command, check.want)
	}
	if s := h.status(exitOK); s.Running.Standing != "committed" || len(s.Problems) > 0 {
		t.Errorf("status: %+v", s)
	}
}

// want checks what a command prints, but for space at the end.
func (h *host) want(command, want string) {
	h.t.Helper()
	r, err := h.boot.Run(h.wait(), command)
	if err != nil {
		h.t.Fatal(err)
	}
	if got := strings.TrimSpace(r.Stdout); got != want {
		h.t.Errorf("%s: exit code %d\n%s\n%s\nwant\n%s", command, r.ExitCode, got, r.Stderr, want)
	}
}

// wantRPMDatabase lets rpm itself read what is in the image.
func wantRPMDatabase(t *testing.T, image, repository string) {
	t.Helper()
	dir := t.TempDir()
	if err := output(exec.Command("fsck.erofs", "--extract="+dir, "--no-preserve", image)); err != nil {
		t.Fatal(err)
	}
	query := []string{"rpm", "--root", dir, "--dbpath", "/var/lib/rpm", "--nosignature"}
	if os.Getuid() != 0 {
		query = append([]string{"unshare", "--map-root-user"}, query...)
	}
	ask := func(args ...string) []string {
		t.Helper()
		cmd := exec.Command(query[0], append(slices.Clone(query[1:]), args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		slices.Sort(lines)
		return lines
	}
	var want []string
	files, err := filepath.Glob(filepath.Join(repository, "Packages", "*", "*.rpm"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d packages in the repository, %v", len(files), err)
	}
	for _, file := range files {
		want = append(want, strings.TrimSuffix(filepath.Base(file), ".rpm"))
	}
	slices.Sort(want)
	if got := ask("-qa"); !slices.Equal(got, want) {
		t.Errorf("rpm -qa: %q\nwant %q", got, want)
	}
	if got := ask("-qf", "/usr/bin/busybox", "/etc/mke2fs.conf"); len(got) != 2 || !strings.HasPrefix(got[0], "busybox-static-") || !strings.HasPrefix(got[1], "e2fsprogs-") {
		t.Errorf("rpm -qf: %q", got)
	}
}
