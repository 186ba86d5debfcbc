// Package lukstest makes encrypted partitions for tests, with cryptsetup,
// systemd-cryptenroll and swtpm.
package lukstest

import (
	"crypto/rsa"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions/pcrpolicy/tpmtest"
)

// Size is the length of a Volume, in bytes.
const Size = 20 << 20

// Volume is an encrypted partition in a file.
type Volume struct {
	Path string
	key  string // file
	t    testing.TB
}

// New makes a volume that one key opens.
func New(t testing.TB) Volume {
	t.Helper()
	dir := t.TempDir()
	v := Volume{Path: filepath.Join(dir, "volume"), key: filepath.Join(dir, "key"), t: t}
	for name, size := range map[string]int64{v.Path: Size, v.key: 64} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	v.Run("cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--label", "var", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--key-file", v.key, v.Path)
	return v
}

// Seal lets systemd-cryptenroll add a way in by a software TPM of its own.
func (v Volume) Seal(args ...string) {
	v.t.Helper()
	v.Run("systemd-cryptenroll", append(args, "--unlock-key-file="+v.key, "--tpm2-device="+tpmtest.Start(v.t), v.Path)...)
}

// SealTo is Seal for a signed policy of PCR 11 and nothing else.
func (v Volume) SealTo(public string) {
	v.t.Helper()
	v.Seal("--tpm2-pcrs=", "--tpm2-public-key="+public, "--tpm2-public-key-pcrs=11")
}

// Run runs a program that must succeed, and returns what it printed.
func (v Volume) Run(name string, args ...string) string {
	v.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		v.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Content is the volume as it is now.
func (v Volume) Content() []byte {
	v.t.Helper()
	content, err := os.ReadFile(v.Path)
	if err != nil {
		v.t.Fatal(err)
	}
	return content
}

// NewKey is a key for policies, and the path of its public part.
func NewKey(t testing.TB) (*rsa.PrivateKey, string) {
	t.Helper()
	dir := t.TempDir()
	return tpmtest.NewKey(t, dir), filepath.Join(dir, "public.pem")
}
