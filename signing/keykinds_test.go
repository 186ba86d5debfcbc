package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func shell(t *testing.T, script string, arguments ...string) {
	t.Helper()
	if out, err := exec.Command("sh", append([]string{"-e", "-c", script, "sh"}, arguments...)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func secret(text string) Passphrase {
	return func(string) ([]byte, error) { return []byte(text), nil }
}

// mustSign has a key sign, which verifies what was signed by another.
func mustSign(t *testing.T, path string, passphrase Passphrase) {
	t.Helper()
	key, err := OpenKeyFile(path, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.sign([]byte("a root"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := ReadPublicKeyFile(PublicKeyPath(path))
	if err != nil || !ed25519.Verify(public.key, []byte("a root"), signature) {
		t.Errorf("%s: the signature does not hold: %v", path, err)
	}
}

func TestLockedKeysAreOpensslsAndOurs(t *testing.T) {
	ours := filepath.Join(t.TempDir(), "root.pem")
	if _, err := CreateLockedKeyFile(ours, []byte("open sesame")); err != nil {
		t.Fatal(err)
	}
	mustSign(t, ours, secret("open sesame"))
	shell(t, `openssl pkey -in "$1" -passin pass:"open sesame" -pubout | cmp - "$2"`, ours, PublicKeyPath(ours))

	plain := filepath.Join(t.TempDir(), "plain.pem")
	if _, err := CreateKeyFile(plain); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(t.TempDir(), "root.pem")
	shell(t, `umask 077; openssl pkcs8 -topk8 -in "$1" -out "$2" -passout pass:x; cp "$3" "$4"`, plain, theirs, PublicKeyPath(plain), PublicKeyPath(theirs))
	mustSign(t, theirs, secret("x"))

	for name, passphrase := range map[string]Passphrase{"": nil, "wrong": secret("y")} {
		key, err := OpenKeyFile(theirs, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		want := ErrPassphrase
		if passphrase == nil {
			want = ErrKeyLocked
		}
		if _, err := key.sign(nil); !errors.Is(err, want) {
			t.Errorf("passphrase %q: %v, want %v", name, err, want)
		}
		if _, err := key.Unlock(); !errors.Is(err, want) {
			t.Errorf("passphrase %q, before it signs: %v, want %v", name, err, want)
		}
	}
	asked := 0
	key, err := OpenKeyFile(theirs, func(string) ([]byte, error) { asked++; return []byte("x"), nil })
	if err == nil {
		key, err = key.Unlock()
	}
	if _, signErr := key.sign(nil); err != nil || signErr != nil || asked != 1 {
		t.Errorf("a key that is opened first: %v, %v, asked for its passphrase %d times", err, signErr, asked)
	}
	shell(t, `cp "$1" "$2"`, PublicKeyPath(ours), PublicKeyPath(theirs))
	if key, err = OpenKeyFile(theirs, secret("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := key.sign(nil); !errors.Is(err, errForeignSignature) {
		t.Errorf("a key beside another's public half: %v", err)
	}
	other := filepath.Join(t.TempDir(), "root.pem")
	shell(t, `umask 077; openssl pkcs8 -topk8 -scrypt -in "$1" -out "$2" -passout pass:x; cp "$3" "$4"`, plain, other, PublicKeyPath(plain), PublicKeyPath(other))
	if _, err := OpenKeyFile(other, secret("x")); !errors.Is(err, errOtherLock) {
		t.Errorf("a key that scrypt locks: %v", err)
	}
	if _, err := CreateLockedKeyFile(filepath.Join(t.TempDir(), "root.pem"), nil); err == nil {
		t.Error("an empty passphrase locks a key")
	}
}

// elsewhere writes a .signer file beside the public half of a new key.
func elsewhere(t *testing.T, content string) (path, private string) {
	t.Helper()
	private = filepath.Join(t.TempDir(), "root.pem")
	if _, err := CreateKeyFile(private); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "root.signer")
	shell(t, `umask 077; printf '%s' "$1" > "$2"; cp "$3" "$4"`, content, path, PublicKeyPath(private), PublicKeyPath(path))
	return path, private
}

func TestAKeyInATokenSignsMetadata(t *testing.T) {
	const module = "/usr/lib/softhsm/libsofthsm2.so"
	path, private := elsewhere(t, "pkcs11: pkcs11:token=roots;object=root?module-path="+module+"&pin-value=1234\n")
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	shell(t, `softhsm2-util --init-token --free --label roots --so-pin 0000 --pin 1234
softhsm2-util --import "$1" --token roots --label root --id 0a --pin 1234`, private)
	mustSign(t, path, nil)
}

func TestACommandSignsMetadata(t *testing.T) {
	path, private := elsewhere(t, "")
	// openssl needs the size of what it signs, which a pipe has not.
	script := "command: [sh, -c, 'test \"$PROA_KEY_ID\" && cat > KEY.in && openssl pkeyutl -sign -rawin -in KEY.in -inkey KEY']\n"
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(script, "KEY.in", private+".in")), 0o600); err != nil {
		t.Fatal(err)
	}
	shell(t, `sed -i "s,-inkey KEY,-inkey $1," "$2"`, private, path)
	mustSign(t, path, nil)
}

func TestUnfitSignersAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		"command: [sh, -c, 'echo nobody is here >&2; exit 3']": "command sh: exit status 3: nobody is here",
		"command: ['true']":                    errForeignSignature.Error(),
		"command: [head, -c, '64', /dev/zero]": errForeignSignature.Error(), // the size of a signature
		"command: [no-such-program-1]":         "executable file not found",
	} {
		path, _ := elsewhere(t, content)
		key, err := OpenKeyFile(path, nil)
		if err != nil {
			t.Errorf("%s: %v", content, err)
			continue
		}
		if _, err := key.sign(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
	for content, want := range map[string]string{
		"":                                 "the document is empty",
		"pkcs11: x\ncommand: [x]":          "want either pkcs11",
		"pkcs11: root.pem":                 "begins with pkcs11:",
		"pkcs11: 'pkcs11:object=a'":        "module-path",
		"kms: x":                           "kms",
		"command: sh -c x":                 "command",
		"command: [a]\ncommand: [b]":       "command",
		strings.Repeat("#", keyFileMost+1): "at most",
	} {
		path, _ := elsewhere(t, content)
		if _, err := OpenKeyFile(path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", content, err, want)
		}
	}
	path, _ := elsewhere(t, "command: [cat]")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyFile(path, nil); !errors.Is(err, ErrKeyExposed) {
		t.Errorf("readable by all: %v", err)
	}
	if err := os.Remove(PublicKeyPath(path)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyFile(path, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its public half: %v", err)
	}
}

func FuzzLockedKey(f *testing.F) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := lockKey(key, []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		k, err := parseLockedKey(der)
		if err == nil {
			k.iterations = 1
			k.open([]byte("x"))
		}
	})
}
