package e2e

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/partitions"
)

// secureBase is the release that machines with Secure Boot begin with.
const secureBase = "1.10.0"

// secureKeys are made once: PK, KEK, db and a second key for db.
var secureKeys sync.Once

// sign signs a release into the folder signed.
func (l *lab) sign(ctx context.Context, r release) (err error) {
	secureKeys.Do(func() {
		for _, role := range []string{"", "db"} {
			args := []string{"key", "new", "--secure-boot", "--product", "appliance", "-o", "secure-boot"}
			if role != "" {
				args = append(args, "--role", role)
			}
			if err == nil {
				err = l.proaRun(ctx, args...)
			}
		}
	})
	if err != nil {
		return err
	}
	key := "secure-boot/" + r.signed
	return l.proaRun(ctx, "sign", "out/"+r.version, "-o", "signed/"+r.version,
		"--keys", "secure-boot", "--key", key+".pem", "--cert", key+".crt", "--enroll")
}

// secureHost is a machine with Secure Boot that has the lab's keys, and the signed
// base release as a factory would leave it.
func secureHost(t *testing.T, name string) *host {
	t.Helper()
	shared.release(t, secureBase)
	return secureHostWith(t, name, secureBootKeys(t, shared.path("secure-boot")))
}

func secureHostWith(t *testing.T, name string, keys *machine.SecureBoot) *host {
	t.Helper()
	shared.release(t, secureBase)
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := machine.Clone(disk, shared.path("signed", secureBase, "disk.raw")); err != nil {
		t.Fatal(err)
	}
	m, err := machine.New(machine.Config{Disk: disk, Dir: filepath.Join(dir, "machine"), SecureBoot: keys})
	if err != nil {
		t.Fatal(err)
	}
	return &host{t: t, name: name, machine: m, traffic: shared.front.traffic(name)}
}

// secureBootKeys are what firmware has enrolled of a folder of keys.
func secureBootKeys(t *testing.T, folder string) *machine.SecureBoot {
	t.Helper()
	keys := &machine.SecureBoot{}
	for list, content := range map[string]*[]byte{"PK": &keys.PK, "KEK": &keys.KEK, "db": &keys.DB} {
		var err error
		if *content, err = os.ReadFile(filepath.Join(folder, list+".esl")); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// The firmware's variables by the names of their files.
const (
	variableSecureBoot = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	variableDB         = "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f"
	variableDBX        = "dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f"
	variableOneShot    = "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
)

// firmwareSecure is what the firmware says of Secure Boot: 0 or 1.
func (h *host) firmwareSecure() string {
	h.t.Helper()
	fields := strings.Fields(h.run("od -An -tu1 /sys/firmware/efi/efivars/" + variableSecureBoot))
	return fields[len(fields)-1]
}

// writeVariable writes a variable of the firmware in the guest, in one write.
func (h *host) writeVariable(name string, attributes byte, content []byte) {
	h.t.Helper()
	h.putFile("/tmp/variable", append([]byte{attributes, 0, 0, 0}, content...))
	h.run("cd /sys/firmware/efi/efivars; test ! -e " + name + " || chattr -i " + name + "; dd if=/tmp/variable of=" + name + " bs=64k")
}

// putFile makes a file in the guest.
func (h *host) putFile(path string, content []byte) {
	h.t.Helper()
	text := base64.StdEncoding.EncodeToString(content)
	h.run("rm -f " + path + ".64")
	for len(text) > 0 {
		piece := text[:min(len(text), 32<<10)]
		h.run("echo " + piece + " >> " + path + ".64")
		text = text[len(piece):]
	}
	h.run("base64 -d < " + path + ".64 > " + path)
}

// tryOnce has the loader take an entry at the next boot.
func (h *host) tryOnce(entry string) {
	h.t.Helper()
	var text []byte
	for _, r := range entry + "\x00" {
		text = append(text, byte(r), 0)
	}
	h.writeVariable(variableOneShot, 0x07, text)
}

// wantSecureBoot asks the guest's firmware, and the kernel, whether they enforce it.
func (h *host) wantSecureBoot() {
	h.t.Helper()
	if got := h.firmwareSecure(); got != "1" {
		h.t.Fatalf("the firmware's SecureBoot is %s: want 1", got)
	}
	if got := h.run("mount -t securityfs none /sys/kernel/security 2>/dev/null; cat /sys/kernel/security/lockdown"); !strings.Contains(got, "[integrity]") {
		h.t.Errorf("the kernel's lockdown is %s: want integrity", got)
	}
}

func TestUnderSecureBootASignedUpdateLeadsAndAnUnsignedOneGoesBack(t *testing.T) {
	t.Parallel()
	h := secureHost(t, "secure")
	h.start()
	h.wantSecureBoot()
	h.wantRunning(secureBase, partitions.SlotA)
	h.follow("secure")
	h.update(exitOK)
	h.runUntilReset("reboot")
	h.start()
	h.wantSecureBoot()
	h.wantCommittedUpdate("1.11.0")

	// The firmware refuses the trial, the loader starts again, and boots what leads.
	h.follow("unsigned", "trials: 1")
	if u := h.update(exitOK); u.Result != "armed" || u.Slot != "a" {
		t.Errorf("update: %+v", u)
	}
	h.runUntilReset("reboot")
	h.start()
	h.wantRunning("1.11.0", partitions.SlotB)
	if s := h.status(exitWentBack); s.Committed != "b" || s.Last == nil || s.Last.Version != "1.12.0" || s.Last.Outcome != "went back" {
		t.Errorf("status after the way back: %+v", s)
	}
}

func TestAKernelImageThatWasChangedDoesNotBootAndKeysAreRotated(t *testing.T) {
	t.Parallel()
	h := secureHost(t, "rotated")
	h.start()
	h.wantSecureBoot()
	read := func(elem ...string) []byte {
		content, err := os.ReadFile(shared.path(elem...))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}

	// First the new key is known to the firmware, beside the old one. A release that
	// it signed is armed, and changed on the disk: the firmware refuses it.
	h.writeVariable(variableDB, 0x67, read("secure-boot", "db-2.auth"))
	h.follow("rotated", "retryPause: 1s")
	h.update(exitOK)
	h.runUntilReset("reboot")
	h.replaceUKI(partitions.SlotB, func(content []byte) []byte {
		content[len(content)/2] ^= 1
		return content
	})
	h.start()
	h.wantRunning(secureBase, partitions.SlotA)
	if s := h.status(exitWentBack); s.Last == nil || !strings.Contains(s.Last.Reason, cameBack[len("came back "):]) {
		t.Errorf("status after the way back: last is %+v", s.Last)
	}

	// As it was signed, it leads after its trial, and brings its loader.
	h.run("sleep 2")
	h.update(exitOK)
	h.runUntilReset("reboot")
	h.start()
	h.wantRunning("1.13.0", partitions.SlotB)
	h.wantCommitted(partitions.SlotB)
	h.putFile("/tmp/loader", read("signed", "1.13.0", "loader.efi"))
	h.run("mkdir -p /tmp/esp && mount -t vfat /dev/vda1 /tmp/esp && cd /tmp/esp/EFI/BOOT && cp /tmp/loader BOOTX64.NEW && sync && mv BOOTX64.NEW BOOTX64.EFI && sync && cd / && umount /tmp/esp")

	// Then the old key is revoked: what it signed does not boot any more.
	revoke := filepath.Join(t.TempDir(), "revoke.auth")
	if err := shared.proaRun(t.Context(), "key", "revoke", "secure-boot/db.crt", "--keys", "secure-boot", "-o", revoke); err != nil {
		t.Fatal(err)
	}
	update, err := os.ReadFile(revoke)
	if err != nil {
		t.Fatal(err)
	}
	h.writeVariable(variableDBX, 0x67, update)
	h.tryOnce("proa-a.efi") // the base release, by the old key
	h.runUntilReset("reboot")
	h.start()
	h.wantSecureBoot()
	h.wantRunning("1.13.0", partitions.SlotB)
}

// TestFirmwareTakesTheKeysThatTheDiskBrings has systemd-boot enroll them when it is
// told to.
func TestFirmwareTakesTheKeysThatTheDiskBrings(t *testing.T) {
	t.Parallel()
	h := secureHostWith(t, "enrolled", &machine.SecureBoot{})
	h.start()
	if got := h.firmwareSecure(); got != "0" {
		t.Fatalf("in setup mode, the firmware's SecureBoot is %s: want 0", got)
	}
	h.tryOnce("secure-boot-keys-auto")
	h.runUntilReset("reboot")
	h.powerOn()
	h.awaitReset()
	h.start()
	h.wantSecureBoot()
}
