package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The encrypted var is LUKS2, made and opened by the image's own cryptsetup and
// systemd. Its volume key has two key slots: one for a secret that the TPM gives
// out while PCR 11 has a value that the product's key has signed, and one for
// the recovery key.
const (
	mappedName  = "proa-var"
	mappedVar   = "/dev/mapper/" + mappedName
	recoveryKey = "lib/proa/recovery-key" // in var

	// What the kernel image's stub hands over of its sections .pcrpkey and .pcrsig
	// (systemd-stub(7)), and where the image's programs and, later, an administrator
	// find it.
	stubKey         = "/.extra/tpm2-pcr-public-key.pem"
	stubSignature   = "/.extra/tpm2-pcr-signature.json"
	policyFolder    = "/run/proa"
	policyKey       = policyFolder + "/tpm2-pcr-public-key.pem"
	policySignature = policyFolder + "/tpm2-pcr-signature.json"

	firstKey = policyFolder + "/var.key" // opens the volume while it is being made
)

// errPlain says that var is not encrypted, but is to be.
var errPlain = errors.New("it is to be encrypted, and holds something else: left as it is")

// mountEncrypted mounts the file system inside a partition that is encrypted, or is
// going to be.
func (b *boot) mountEncrypted(partition string, found content) error {
	if err := b.takePolicy(); err != nil {
		return err
	}
	switch {
	case found.blank || found.unfinished:
		if err := b.encrypt(partition, found.size); err != nil {
			return fmt.Errorf("encrypting %s: %w", partition, err)
		}
	case !found.luks:
		return fmt.Errorf("%s: %w", partition, errPlain)
	default:
		if err := b.attach(partition); err != nil {
			return fmt.Errorf("opening %s: %w; its recovery key opens it", partition, err)
		}
	}
	// Nothing of what is in the volume is used before. Should it fail, leaveVar tries
	// once more, and tells.
	_ = b.closeKeyOnce()
	b.varSealed = true
	return b.useVar(mappedVar)
}

// mayUnseal reports whether the TPM may give its key to this boot: the kernel image
// brings a policy, or is to have one.
func (b *boot) mayUnseal() bool {
	for _, name := range []string{stubKey, stubSignature, mappedVar} {
		if _, err := os.Lstat(name); err == nil {
			return true
		}
	}
	return b.options.VarTPM2
}

// leaveVar is the way out of mounting var, with the error of that: the TPM's key is
// closed to what runs from here on, whatever became of var. A system without its var
// is no system for the volume, either: who spoils a partition must not get root in
// one that the TPM still trusts, or in which the volume is open. With an error the
// machine is not to go on.
func (b *boot) leaveVar(fault error) error {
	if !b.mayUnseal() {
		return nil
	}
	err := b.closeKeyOnce()
	if fault == nil {
		if err != nil {
			b.log.fault("closing the TPM's key to what runs from here on: %v", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; and the TPM's key cannot be closed to a system without /var: %w", fault, err)
	}
	if _, err := os.Lstat(mappedVar); err != nil {
		return nil
	}
	if _, err := b.runInImage([]string{"systemd-cryptsetup"}, "detach", mappedName); err != nil {
		return fmt.Errorf("%w; and the volume cannot be closed to a system without /var: %w", fault, err)
	}
	return nil
}

// closeKeyOnce is closeKey for this machine: a second measurement would make
// another value of PCR 11.
func (b *boot) closeKeyOnce() error {
	if b.keyClosed {
		return nil
	}
	err := closeKey(tpmPath, efiVariables, tpmWait)
	b.keyClosed = err == nil
	return err
}

// takePolicy copies what the stub handed over to where it outlives the initrd.
func (b *boot) takePolicy() error {
	if err := os.MkdirAll(policyFolder, 0o755); err != nil {
		return err
	}
	for from, to := range map[string]string{stubKey: policyKey, stubSignature: policySignature} {
		text, err := os.ReadFile(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o444); err != nil {
			return err
		}
	}
	return nil
}

// encrypt makes the volume and a file system in it. The mark in the partition's
// tail, which the file system inside leaves free too, stays until the recovery key is
// durable: a cut before that begins again, and nobody has had a file there.
func (b *boot) encrypt(partition string, size int64) error {
	for _, name := range []string{policyKey, policySignature} {
		if _, err := os.Stat(name); err != nil {
			return fmt.Errorf("the kernel image brings no signed PCR policy (sections .pcrpkey and .pcrsig): %w", err)
		}
	}
	if err := findTPM(tpmPath, tpmWait); err != nil {
		return err
	}
	b.log.info("encrypting %s", partition)
	if err := mark(partition, size, true); err != nil {
		return err
	}
	recovery, err := b.makeVolume(partition)
	if err != nil {
		return err
	}
	if err := b.attach(partition); err != nil {
		return err
	}
	inside, err := examine(mappedVar)
	if err != nil {
		return err
	}
	if err := b.makeExt4(mappedVar, inside.size); err != nil {
		return err
	}
	if err := keepRecoveryKey(recovery); err != nil {
		return fmt.Errorf("keeping the recovery key: %w", err)
	}
	b.log.fault("/var is encrypted now: 'proa-agent recovery-key' shows the key that opens it without this machine's TPM")
	return mark(partition, size, false)
}

// makeVolume makes the volume with its two key slots and returns the recovery
// key. The first key is random, so that guessing need not be made expensive.
func (b *boot) makeVolume(partition string) (recovery string, err error) {
	secret := make([]byte, 64)
	rand.Read(secret)
	if err := os.WriteFile(firstKey, secret, 0o600); err != nil {
		return "", err
	}
	defer os.Remove(firstKey) // of memory
	pcrs, err := registers(efiVariables)
	if err != nil {
		return "", err
	}
	_, err = b.runInImage([]string{"cryptsetup"}, "luksFormat", "--batch-mode", "--type", "luks2", "--label", "var",
		"--cipher", "aes-xts-plain64", "--key-size", "512", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
		"--key-file", firstKey, partition)
	if err != nil {
		return "", err
	}
	enroll := []string{"systemd-cryptenroll"}
	_, err = b.runInImage(enroll, "--unlock-key-file="+firstKey, "--tpm2-device=auto", "--tpm2-pcrs="+pcrs,
		"--tpm2-public-key="+policyKey, "--tpm2-public-key-pcrs=11", "--tpm2-signature="+policySignature, partition)
	if err != nil {
		return "", err
	}
	const first = "0" // the slot that luksFormat filled
	out, err := b.runInImage(enroll, "--unlock-key-file="+firstKey, "--recovery-key", "--wipe-slot="+first, partition)
	if err != nil {
		return "", err
	}
	return parseRecoveryKey(out)
}

// parseRecoveryKey checks what systemd-cryptenroll printed: eight groups of eight
// letters, with hyphens.
func parseRecoveryKey(out []byte) (string, error) {
	key := strings.TrimSpace(string(out))
	const letters = "cbdefghijklnrtuv" // modhex
	groups := strings.Split(key, "-")
	for _, group := range groups {
		if len(groups) != 8 || len(group) != 8 || strings.Trim(group, letters) != "" {
			return "", errors.New("systemd-cryptenroll printed no recovery key")
		}
	}
	return key, nil
}

// registers are the PCRs, besides the signed policy, that the key is sealed to: the
// state of Secure Boot (7), if it is enforced. Without that anybody may boot what
// measures the same as a release, and the register says nothing.
func registers(store variables) (string, error) {
	value, err := store.read(secureBoot, globalVendor)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("finding out whether Secure Boot is enforced: %w", err)
	}
	if len(value) == 1 && value[0] == 1 {
		return "7", nil
	}
	return "", nil
}

// attach opens the volume with the key that the TPM gives out, as mappedVar.
func (b *boot) attach(partition string) error {
	if err := findTPM(tpmPath, tpmWait); err != nil {
		return err
	}
	options := "tpm2-device=auto,headless=1"
	if _, err := os.Stat(policySignature); err == nil {
		options += ",tpm2-signature=" + policySignature
	}
	_, err := b.runInImage([]string{"systemd-cryptsetup"}, "attach", mappedName, partition, "-", options)
	if err != nil {
		return fmt.Errorf("the TPM does not give out its key for this kernel image: %w", err)
	}
	return nil
}

// keepRecoveryKey puts the recovery key into the new file system, for an
// administrator to take.
func keepRecoveryKey(key string) error {
	if err := os.MkdirAll(varNew, 0o755); err != nil {
		return err
	}
	if err := mount(mappedVar, varNew, "ext4", 0, ""); err != nil {
		return err
	}
	defer unix.Unmount(varNew, 0)
	name := filepath.Join(varNew, recoveryKey)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name, []byte(key+"\n"), 0o600); err != nil {
		return err
	}
	return syncFolder(varNew)
}

// luks2 reports whether a partition starts with a header of LUKS2 or, should that
// be gone, has its copy (LUKS2 On-Disk Format Specification 1.1, section 2.1), which
// counts unless a newer file system has merely left it there.
func luks2(head []byte, overwritten bool) bool {
	const version, second = "\x00\x02", 16 << 10
	first, copied := string(head), string(head[second:])
	return strings.HasPrefix(first, "LUKS\xba\xbe"+version) || !overwritten && strings.HasPrefix(copied, "SKUL\xba\xbe"+version)
}
