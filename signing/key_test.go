package signing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestKeyFilesAreForTheirOwnerAloneWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o777} {
		old := syscall.Umask(umask)
		path := filepath.Join(t.TempDir(), "root.pem")
		_, err := CreateKeyFile(path)
		syscall.Umask(old)
		if err != nil {
			// With umask 0777 the folder itself is closed to anybody but root.
			t.Fatal(err)
		}
		for name, want := range map[string]os.FileMode{path: 0o600, PublicKeyPath(path): 0o644} {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != want {
				t.Errorf("umask %04o: %s has mode %04o, want %04o", umask, filepath.Base(name), info.Mode().Perm(), want)
			}
		}
		private, err := ReadKeyFile(path)
		if err != nil {
			t.Fatal(err)
		}
		public, err := ReadPublicKeyFile(PublicKeyPath(path))
		if err != nil || public.ID() != private.Public().ID() {
			t.Errorf("public key %s %v, want %s", public.ID(), err, private.Public().ID())
		}
	}
}

func TestKeyFilesAreWhatOpensslReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, err := CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	public, err := exec.Command("openssl", "pkey", "-in", path, "-pubout").Output()
	if err != nil {
		t.Fatalf("openssl: %v", err)
	}
	ours, err := os.ReadFile(PublicKeyPath(path))
	if err != nil || string(ours) != string(public) {
		t.Errorf("openssl derives\n%s\nours is\n%s", public, ours)
	}
	made := filepath.Join(t.TempDir(), "made.pem")
	if out, err := exec.Command("openssl", "genpkey", "-algorithm", "ed25519", "-out", made).CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	if err := os.Chmod(made, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFile(made); err != nil {
		t.Errorf("a key made by openssl: %v", err)
	}
}

func TestKeysAreNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.pem")
	if _, err := CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if _, err := CreateKeyFile(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the key changed")
	}
	// A public key in the way leaves no private one behind.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateKeyFile(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("a private key without its public half was left")
	}
}

func TestUnfitKeyFilesAreRefused(t *testing.T) {
	folder := t.TempDir()
	good := filepath.Join(folder, "good.pem")
	if _, err := CreateKeyFile(good); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	public, _ := os.ReadFile(PublicKeyPath(good))
	for _, test := range []struct {
		name    string
		content string
		mode    os.FileMode
		want    string
	}{
		{"readable by the group", string(content), 0o640, "mode 0640"},
		{"readable by all", string(content), 0o604, "mode 0604"},
		{"of another type", string(pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der})), 0o600, "want ed25519"},
		{"public", string(public), 0o600, "PUBLIC KEY"},
		{"empty", "", 0o600, "no PEM block"},
		{"cut", string(content[:40]), 0o600, "no PEM block"},
		{"two keys", string(content) + string(content), 0o600, "after the PEM block"},
		{"garbage in the block", string(pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: []byte("x")})), 0o600, "asn1"},
		{"huge", strings.Repeat("x", keyFileMost+1), 0o600, "at most"},
	} {
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, []byte(test.content), test.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeyFile(path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	fifo := filepath.Join(folder, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, folder, "/dev/zero"} {
		if _, err := ReadKeyFile(path); err == nil || !strings.Contains(err.Error(), "want a regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestFolderOfKeysMustBeUnambiguous(t *testing.T) {
	make := func(names ...string) string {
		folder := t.TempDir()
		for _, name := range names {
			if _, err := CreateKeyFile(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
		return folder
	}
	copyFile := func(from, to string, mode os.FileMode) {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, content, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	same := make("root.pem")
	copyFile(filepath.Join(same, "root.pem"), filepath.Join(same, "root-2.pem"), 0o600)
	mixed := make("root.pem", "root-2.pem")
	copyFile(filepath.Join(mixed, "root-2.pub"), filepath.Join(mixed, "root.pub"), 0o644)
	if err := os.Remove(filepath.Join(mixed, "root-2.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(mixed, "root-2.pub")); err != nil {
		t.Fatal(err)
	}
	exposed := make("root.pem")
	if err := os.Chmod(filepath.Join(exposed, "root.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]string{
		same:             "same key",
		mixed:            "do not belong together",
		exposed:          ErrKeyExposed.Error(),
		make("boss.pem"): `role "boss"`,
		t.TempDir():      ErrKeyMissing.Error(),
	} {
		if _, err := LoadKeys(folder); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
