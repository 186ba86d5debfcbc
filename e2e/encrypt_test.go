package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/machine/workshop"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/luks"
	"github.com/proa-os/proa/partitions/luks/lukstest"
	"github.com/proa-os/proa/partitions/ukifile"
)

// The releases whose machines encrypt /var: one to begin with, one signed as it
// is, and one that nobody signed.
const (
	sealedBase     = "3.0.0"
	sealedNext     = "3.1.0"
	sealedUnsigned = "3.2.0"
)

var makingSealed sync.Once

// sealed makes and publishes them, each on a channel by its version.
func (l *lab) sealed(t *testing.T) {
	t.Helper()
	var err error
	makingSealed.Do(func() { err = l.makeSealed(t.Context()) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(l.path("sealed", sealedNext)); err != nil {
		t.Fatalf("the releases could not be made: see another test: %v", err)
	}
}

func (l *lab) makeSealed(ctx context.Context) error {
	if _, err := workshop.EncryptedAppliance(ctx, l.dir); err != nil {
		return err
	}
	if err := l.proaRun(ctx, "key", "new", "--secure-boot", "--product", "appliance", "-o", "sealing"); err != nil {
		return err
	}
	recipe, err := os.ReadFile(filepath.Join("..", "images", "appliance", "recipe.yaml"))
	if err != nil {
		return err
	}
	text := strings.NewReplacer("root: root.json", "root: repo/metadata/root.json", "appliance.tar", "encrypted.tar").Replace(string(recipe))
	text += "varEncryption: tpm2\nsecureBoot: {pcrKey: sealing/pcr.pub}\n"
	if err := os.WriteFile(l.path("sealed.yaml"), []byte(text), 0o644); err != nil {
		return err
	}
	for _, version := range []string{sealedBase, sealedNext, sealedUnsigned} {
		if err := l.proaRun(ctx, "build", "sealed.yaml", "-o", "unsealed/"+version, "--version", version); err != nil {
			return err
		}
		folder := "unsealed/" + version
		if version != sealedUnsigned {
			folder = "sealed/" + version
			if err := l.proaRun(ctx, "sign", "unsealed/"+version, "-o", folder, "--keys", "sealing"); err != nil {
				return err
			}
		}
		if err := l.proaRun(ctx, "repo", "publish", folder, "--repo", "repo", "--keys", "keys", "--channel", "sealed-"+version); err != nil {
			return err
		}
	}
	return nil
}

// sealedHost is a machine with a TPM, and the base release as a factory would
// leave it.
func sealedHost(t *testing.T, name string, keys *machine.SecureBoot) *host {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := machine.Clone(disk, shared.path("sealed", sealedBase, "disk.raw")); err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, name: name, traffic: shared.front.traffic(name)}
	h.renew(machine.Config{Disk: disk, Dir: filepath.Join(dir, "machine"), TPM: true, SecureBoot: keys})
	return h
}

// renew puts the disk and the TPM of the config into a machine with a fresh variable store.
func (h *host) renew(config machine.Config) {
	h.t.Helper()
	var err error
	if h.machine, err = machine.New(config); err != nil {
		h.t.Fatal(err)
	}
}

// wantSealedVar checks that /var is what the TPM opened, and that it does not open
// it once more for what runs now.
func (h *host) wantSealedVar(version string) {
	h.t.Helper()
	if mounts := h.run("cat /proc/mounts"); !strings.Contains(mounts, "/dev/mapper/proa-var /var ext4 ") {
		h.t.Fatalf("/var is not encrypted:\n%s", mounts)
	}
	uki, err := os.ReadFile(shared.path("sealed", version, "uki.efi"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.wantLeftInitrd(uki)
	const attach = "/usr/lib/systemd/systemd-cryptsetup attach again $(ls /dev/vda7) - tpm2-device=auto,headless=1,readonly,tpm2-signature=/run/proa/tpm2-pcr-signature.json"
	r, err := h.boot.Run(h.wait(), attach)
	if err != nil {
		h.t.Fatal(err)
	}
	if r.ExitCode == 0 || !strings.Contains(r.Stderr, "Couldn't find signature for this PCR bank") {
		h.t.Errorf("the running system asked the TPM for the key: exit code %d\n%s", r.ExitCode, r.Stderr)
	}
}

// wantLeftInitrd checks that PCR 11 has another value than the one that opens /var
// for the kernel image, and that the image's stub said that it measured.
func (h *host) wantLeftInitrd(uki []byte) {
	h.t.Helper()
	pcr, err := ukifile.Measurement(bytes.NewReader(uki), int64(len(uki)))
	if err != nil {
		h.t.Fatal(err)
	}
	event := sha256.Sum256([]byte("leave-initrd"))
	want := sha256.Sum256(append(pcr[:], event[:]...))
	if got := h.run("cat /sys/class/tpm/tpm0/pcr-sha256/11"); !strings.EqualFold(strings.TrimSpace(got), hex.EncodeToString(want[:])) {
		h.t.Errorf("PCR 11 is %s: want %x", got, want)
	}
	h.run("ls /sys/firmware/efi/efivars/StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
}

// varPartition is a copy of the var partition while the machine is off.
func (h *host) varPartition() (path string, header []byte) {
	h.t.Helper()
	p := h.find(partitions.RoleVar)
	path = filepath.Join(h.t.TempDir(), "var")
	cmd := exec.Command("dd", "if="+h.machine.Disk(), "of="+path, "bs=1M", "conv=sparse",
		fmt.Sprintf("skip=%d", p.Start>>20), fmt.Sprintf("count=%d", p.Size>>20))
	if err := output(cmd); err != nil {
		h.t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	return path, content[:16<<20]
}

// cutWhileEncrypting leaves on the var partition what a power cut does while it is
// being encrypted: a header that no TPM opens, and the mark of who was about it.
func (h *host) cutWhileEncrypting() {
	h.t.Helper()
	const tail = 64 << 10
	h.overwrite(partitions.RoleVar, 0, lukstest.New(h.t).Content()[:16<<20])
	h.overwrite(partitions.RoleVar, h.find(partitions.RoleVar).Size-tail, []byte("proa-init is formatting this partition\n"))
}

// TestAVarThatWasSealedUnderSecureBootNeedsIt takes the keys of Secure Boot from a
// machine's firmware, as somebody does who wants to boot a system of their own. The
// machine's first boot was cut before.
func TestAVarThatWasSealedUnderSecureBootNeedsIt(t *testing.T) {
	t.Parallel()
	shared.sealed(t)
	h := sealedHost(t, "sealed-secure", secureBootKeys(t, shared.path("sealing")))
	h.cutWhileEncrypting()
	h.start()
	h.wantSealedVar(sealedBase)
	h.run("echo kept > /var/kept; sync")
	h.boot.PowerCut()
	_, header := h.varPartition()
	if sealed, err := luks.Read(bytes.NewReader(header)); err != nil || len(sealed.TPM2) != 1 || !slices.Equal(sealed.TPM2[0].PCRs, []int{7}) {
		t.Errorf("sealed to %+v, %v: want PCR 7 among it", sealed.TPM2, err)
	}
	h.start()
	h.wantSealedVar(sealedBase)
	if got := h.run("cat /var/kept"); got != "kept\n" {
		t.Errorf("/var/kept: %q", got)
	}
	h.boot.PowerCut()
	disk := h.machine.Disk()
	h.renew(machine.Config{Disk: disk, Dir: filepath.Join(filepath.Dir(disk), "machine"), TPM: true})
	h.start()
	uki, err := os.ReadFile(shared.path("sealed", sealedBase, "uki.efi"))
	if err != nil {
		t.Fatal(err)
	}
	h.wantClosedVar(uki)
}

// wantClosedVar checks that the machine came up without what is on the var partition,
// and that the TPM does not open that for the system that came up by the kernel image.
func (h *host) wantClosedVar(uki []byte) {
	h.t.Helper()
	h.wantLeftInitrd(uki)
	if got := h.run("ls /var/kept 2>&1 || cat /proc/mounts"); strings.Contains(got, "proa-var") || strings.HasPrefix(got, "/var/kept\n") {
		h.t.Errorf("/var is open:\n%s", got)
	}
	if s := h.status(exitOK); !strings.Contains(strings.Join(s.Problems, "\n"), "the TPM does not give out its key for this kernel image") {
		h.t.Errorf("problems: %q", s.Problems)
	}
}

func TestAnEncryptedVarOpensForSignedReleasesAlone(t *testing.T) {
	t.Parallel()
	shared.sealed(t)
	h := sealedHost(t, "sealed", nil)
	h.start()
	h.wantRunning(sealedBase, partitions.SlotA)
	h.wantSealedVar(sealedBase)
	if s := h.agent("status", exitOK).Stdout; !strings.Contains(s, "encrypted   /var   opened by the TPM\n") || strings.Contains(s, "problem") {
		t.Errorf("status of a fresh machine:\n%s", s)
	}
	key := strings.TrimSpace(h.agent("recovery-key", exitOK).Stdout)
	h.agent("recovery-key --forget", exitOK)
	h.run("echo kept > /var/kept")

	h.follow("sealed-" + sealedUnsigned)
	if r := h.agent("update", exitRefused); !strings.Contains(r.Stderr, "it would not open this machine's /var: the kernel image has no signed PCR policy") {
		t.Errorf("an unsigned release: %s", r.Stderr)
	}
	h.follow("sealed-" + sealedNext)
	h.update(exitOK)
	h.runUntilReset("reboot")

	h.start()
	h.wantRunning(sealedNext, partitions.SlotB)
	h.wantSealedVar(sealedNext)
	if got := h.run("cat /var/kept"); got != "kept\n" {
		t.Errorf("/var/kept after the update: %q", got)
	}
	h.run("sync")
	h.boot.PowerCut()
	h.wantCommitted(partitions.SlotB)

	// Somebody has changed the kernel image that leads.
	volume, before := h.varPartition()
	var changed []byte
	h.replaceUKI(partitions.SlotB, func(content []byte) []byte {
		changed = bytes.Replace(content, []byte("mitigations=off"), []byte("mitigations=0ff"), 1)
		return changed
	})
	h.start()
	h.wantRunning(sealedNext, partitions.SlotB)
	h.wantClosedVar(changed)
	h.boot.PowerCut()
	if _, after := h.varPartition(); !bytes.Equal(before, after) {
		t.Error("the boot that could not open /var has written to it")
	}

	// The recovery key needs no TPM.
	for name, given := range map[string]string{"the key": key, "another": strings.Repeat("c", len(key))} {
		cmd := exec.Command("cryptsetup", "open", "--test-passphrase", "--type", "luks2", "--key-file", "-", volume)
		cmd.Stdin = strings.NewReader(given)
		if out, err := cmd.CombinedOutput(); (err == nil) != (given == key) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
