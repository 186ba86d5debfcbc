// Package tpmtest makes keys for PCR policies, and software TPMs that systemd's
// tools can call, for tests.
package tpmtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions/pcrpolicy"
)

// NewKey is a key and its two PEM files, private.pem and public.pem in the folder.
func NewKey(t testing.TB, dir string) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, pcrpolicy.Bits)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"private.pem": {Type: "PRIVATE KEY", Bytes: private},
		"public.pem":  {Type: "PUBLIC KEY", Bytes: public},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

// Start starts a software TPM, which ends with the test, and returns how systemd's
// tools call it: what follows --tpm2-device=.
func Start(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "tpm")
	cmd := exec.CommandContext(t.Context(), "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+socket, "--ctrl", "type=unixio,path="+socket+".ctrl", "--flags", "startup-clear")
	if err := cmd.Start(); err != nil {
		t.Fatalf("install swtpm: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 500 {
		if _, err := os.Stat(socket); err == nil {
			return "swtpm:path=" + socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("swtpm made no socket")
	return ""
}
