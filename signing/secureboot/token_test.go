package secureboot

import (
	"path/filepath"
	"strings"
	"testing"
)

const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// newToken puts a folder's key for db into a token of SoftHSM and returns the
// key's URI without a PIN.
func newToken(t *testing.T, keys string) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("SOFTHSM2_CONF", write(t, filepath.Join(dir, "conf"), []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\n")))
	run(t, "softhsm2-util", "--init-token", "--free", "--label", "release keys", "--so-pin", "0000", "--pin", "1234")
	run(t, "softhsm2-util", "--import", keys+"/db.pem", "--token", "release keys", "--label", "db", "--id", "0a", "--pin", "1234")
	return "pkcs11:token=release%20keys;object=db;id=%0A;type=private?module-path=" + softHSM
}

func TestAKeyInATokenSigns(t *testing.T) {
	keys := newKeys(t)
	uri := newToken(t, keys)
	pin := write(t, filepath.Join(t.TempDir(), "pin"), []byte("1234\n"))
	for _, query := range []string{"&pin-value=1234", "&pin-source=file:" + pin} {
		s, err := OpenSigner(uri+query, keys+"/db.crt")
		if err != nil {
			t.Fatal(err)
		}
		signed, err := Sign(read(t, stubPath), s)
		if err != nil {
			t.Fatal(err)
		}
		run(t, "sbverify", "--cert", keys+"/db.crt", write(t, filepath.Join(t.TempDir(), "signed.efi"), signed))
	}
	for query, want := range map[string]string{"&pin-value=9999": "pkcs11-tool", "": "pkcs11-tool"} {
		s, err := OpenSigner(uri+query, keys+"/db.crt")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Sign(read(t, stubPath), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: %v", query, err)
		}
	}
	s, err := OpenSigner(uri+"&pin-value=1234", strangersKeys(t)+"/db.crt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(read(t, stubPath), s); err == nil || !strings.Contains(err.Error(), "not by the key that the certificate names") {
		t.Errorf("the certificate of another key: %v", err)
	}
}

func TestUnfitKeyURIsAreRefused(t *testing.T) {
	certificate := newKeys(t) + "/db.crt"
	for uri, want := range map[string]string{
		"pkcs11:object=db":                                     "want object or id, and module-path",
		"pkcs11:token=t?module-path=/m.so":                     "want object or id, and module-path",
		"pkcs11:object=a;object=b?module-path=/m.so":           "object is there twice",
		"pkcs11:object=%zz?module-path=/m.so":                  "want NAME=VALUE",
		"pkcs11:slot=1;object=a?module-path=/m.so":             "want one of token",
		"pkcs11:type=public;object=a?module-path=/m":           "want private",
		"pkcs11:object=a?module-path=/m.so&pin-source=/no/pin": "no such file",
	} {
		if _, err := OpenSigner(uri, certificate); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", uri, err)
		}
		for _, more := range []string{"&pin-value=31415", "&pin-value=31415%zz"} {
			if _, err := OpenSigner(uri+more, certificate); err == nil || strings.Contains(err.Error(), "31415") {
				t.Errorf("%s: the error tells the PIN: %v", uri+more, err)
			}
		}
	}
}

func TestAMissingToolIsNamedWithItsPackage(t *testing.T) {
	keys := newKeys(t)
	t.Setenv("PATH", t.TempDir())
	s, err := OpenSigner("pkcs11:object=db?module-path="+softHSM, keys+"/db.crt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(read(t, stubPath), s); err == nil || !strings.Contains(err.Error(), "Debian package opensc") {
		t.Errorf("without pkcs11-tool: %v", err)
	}
}
