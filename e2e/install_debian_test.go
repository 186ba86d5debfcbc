package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/machine/workshop"
	"github.com/proa-os/proa/partitions"
)

// TestADebianInstallsItselfSignedAndSealed is bare metal as people have it: Secure Boot
// enforced all the time, systemd in the live system and in what it installs, a
// configuration from the network, and a /var that the TPM opens.
func TestADebianInstallsItselfSignedAndSealed(t *testing.T) {
	t.Parallel()
	const config = "#cloud-config\nhostname: edge-17\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, config)
	}))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")

	image := newReferenceImage(t, "debian",
		"        - busybox-static\n", "        - busybox-static\n        - cryptsetup-bin\n        - libtss2-esys-3.0.2-0\n        - libtss2-mu0\n        - libtss2-rc0\n        - libtss2-tcti-device0\n",
		"platform: qemu\n", "platform: qemu\nvarEncryption: tpm2\nsecureBoot: {pcrKey: keys/pcr.pub}\n")
	if err := workshop.AddGuest(t.Context(), image.path("release")); err != nil {
		t.Fatal(err)
	}
	keys, signed, iso := image.path("keys"), image.path("signed"), image.path("install.iso")
	proa := func(args ...string) {
		t.Helper()
		if err := shared.proaRun(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	proa("key", "new", "--secure-boot", "--product", "hello", "-o", keys)
	proa("sign", image.build(), "-o", signed, "--keys", keys)
	proa("convert", signed, "--format", "iso", "-o", iso, "--keys", keys, "--append", "proa.install=auto",
		"--append", "proa.install.config=http://10.0.2.2:"+port+"/edge.yaml",
		"--append", fmt.Sprintf("proa.install.config.sha256=%x", sha256.Sum256([]byte(config))))

	enrolled := secureBootKeys(t, keys)
	h := blankHost(t, "install-debian", 3<<30, func(c *machine.Config) {
		liveMedium(iso, "scsi-cd")(c)
		c.Memory, c.TPM, c.SecureBoot = 1024, true, enrolled
	})
	h.powerOn()
	if reason, err := h.boot.Wait(h.wait()); err != nil || reason != machine.ReasonShutdown {
		t.Fatalf("the installation ended with %s, %v; want %s", reason, err, machine.ReasonShutdown)
	}

	disk := h.machine.Disk()
	h.renew(machine.Config{
		Disk: disk, Dir: filepath.Join(filepath.Dir(disk), "machine"), Memory: machine.MemoryDebian, TPM: true, SecureBoot: enrolled,
	})
	wantUp := func() {
		t.Helper()
		h.awaitDaemon()
		h.wantSecureBoot()
		h.wantRunning(base, partitions.SlotA)
		h.want("systemctl is-system-running --wait; hostname; findmnt -n -o SOURCE,FSTYPE /var | xargs", "running\nedge-17\n/dev/mapper/proa-var ext4")
		h.want("proa-agent status --offline | grep -cE '^(encrypted +/var +opened by the TPM|configured .*)$'", "2")
	}
	h.powerOn()
	wantUp()
	h.wantIdentity()
	h.run("echo kept > /var/kept; sync")
	h.boot.PowerCut()
	h.powerOn()
	wantUp()
	h.want("cat /var/kept", "kept")
}
