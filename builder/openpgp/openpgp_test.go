package openpgp_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/openpgp"
)

const text = "first line\n- dashed  \n\n-----BEGIN PGP SIGNATURE-----\nlast line\n"

func verify(k *openpgp.Keyring, signature []byte, at time.Time) (openpgp.Signer, error) {
	return k.VerifyDetached(strings.NewReader(text), signature, at)
}

func TestWhatGPGSignsIsVerified(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	for _, algorithm := range []string{"rsa2048", "rsa3072", "ed25519", "nistp256", "nistp384", "brainpoolP256r1"} {
		fingerprint := g.key(algorithm, algorithm, "never")
		k := g.keyring(algorithm)
		for _, args := range [][]string{nil, {"--armor"}, {"--textmode"}, {"--digest-algo", "SHA512"}} {
			signer, err := verify(k, g.detach(algorithm, text, args...), signed)
			want := openpgp.Signer{Fingerprint: fingerprint, KeyID: fingerprint[24:], Name: algorithm, Created: signed}
			if signer.Created = signer.Created.UTC(); err != nil || signer != want {
				t.Errorf("%s %v: %+v, %v: want %+v", algorithm, args, signer, err, want)
			}
			if _, err := k.VerifyDetached(strings.NewReader(text+"more"), g.detach(algorithm, text, args...), signed); !errors.Is(err, openpgp.ErrBadSignature) {
				t.Errorf("%s %v, other content: %v: want ErrBadSignature", algorithm, args, err)
			}
		}
		content, signer, err := k.VerifyInline(g.clear(algorithm, text), signed)
		if want := strings.ReplaceAll(text, "dashed  ", "dashed"); err != nil || string(content) != want || signer.Fingerprint != fingerprint {
			t.Errorf("%s, clear-signed: %q, %+v, %v: want %q", algorithm, content, signer, err, want)
		}
	}
}

func TestWeakKeysAndHashesAreRefused(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	g.key("short", "rsa1024", "never")
	g.key("dsa", "dsa2048", "never")
	g.key("koblitz", "secp256k1", "never")
	g.key("fine", "rsa2048", "never")
	for name, args := range map[string][]string{
		"short": nil, "dsa": nil, "koblitz": nil,
		"fine": {"--digest-algo", "SHA1", "--allow-weak-digest-algos"},
	} {
		if _, err := verify(g.keyring(name), g.detach(name, text, args...), signed); !errors.Is(err, openpgp.ErrWeak) {
			t.Errorf("%s: %v: want ErrWeak", name, err)
		}
		if _, _, err := g.keyring(name).VerifyInline(g.clear(name, text, args...), signed); !errors.Is(err, openpgp.ErrWeak) {
			t.Errorf("%s, clear-signed: %v: want ErrWeak", name, err)
		}
	}
	old := g.detach("fine", text, "--digest-algo", "MD5", "--allow-weak-digest-algos")
	if _, err := verify(g.keyring("fine"), old, signed); !errors.Is(err, openpgp.ErrWeak) {
		t.Errorf("MD5: %v: want ErrWeak", err)
	}
}

func TestExpiryIsJudgedAtTheGivenTime(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	g.key("short", "ed25519", "seconds=5000000") // 57 days: past the signature's time
	signature := g.detach("short", text)
	brief := g.detach("short", text, "--default-sig-expire", "seconds=10")
	expired := made.Add(5000001 * time.Second)
	check := func(what string, k *openpgp.Keyring, signature []byte, at time.Time, want error) {
		t.Helper()
		if _, err := verify(k, signature, at); !errors.Is(err, want) {
			t.Errorf("%s: %v: want %v", what, err, want)
		}
	}
	k := g.keyring("short")
	check("in time", k, signature, signed, nil)
	check("last second", k, signature, expired.Add(-time.Second), nil)
	check("key expired", k, signature, expired, openpgp.ErrExpired)
	check("key expired, but not when it signed", k, signature, time.Time{}, nil)
	check("signature in time", k, brief, signed.Add(10*time.Second), nil)
	check("signature expired", k, brief, signed.Add(11*time.Second), openpgp.ErrExpired)
	check("a clock that is slow", k, signature, signed.Add(-time.Hour), nil)
	check("signature of the future", k, signature, signed.AddDate(0, 0, -2), openpgp.ErrExpired)

	g.run(signed, "", "--quick-set-expire", g.fingerprint("short"), "0")
	check("extended later", g.keyring("short"), signature, expired, nil)
	check("extended after it signed", g.keyring("short"), signature, time.Time{}, nil)
}

func TestRevokedKeysAreRefused(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	fingerprint := g.key("revoked", "ed25519", "never")
	signature := g.detach("revoked", text)
	before := g.export("revoked")
	certificate, err := os.ReadFile(filepath.Join(g.home, "openpgp-revocs.d", fingerprint+".rev"))
	if err != nil {
		t.Fatal(err)
	}
	g.run(signed, strings.ReplaceAll(string(certificate), ":-----", "-----"), "--import")
	after := g.export("revoked")
	for name, blobs := range map[string][][]byte{"alone": {after}, "beside an old copy": {before, after}, "other order": {after, before}} {
		k, err := openpgp.Parse(blobs...)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{signed, {}, signed.AddDate(1, 0, 0)} {
			if _, err := verify(k, signature, at); !errors.Is(err, openpgp.ErrRevoked) {
				t.Errorf("%s, at %s: %v: want ErrRevoked", name, at, err)
			}
		}
	}
}

func TestSubkeysSignForTheirKey(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	g.run(made, "", "--quick-generate-key", "owner", "rsa3072", "cert", "never")
	fingerprint := g.fingerprint("owner")
	g.run(made, "", "--quick-add-key", fingerprint, "ed25519", "sign", "seconds=5000000")
	signature := g.detach("owner", text)
	k := g.keyring("owner")
	signer, err := verify(k, signature, signed)
	if err != nil || signer.Fingerprint != fingerprint || signer.KeyID == fingerprint[24:] {
		t.Errorf("%+v, %v: want a subkey of %s", signer, err, fingerprint)
	}
	if _, err := verify(k, signature, made.Add(5000001*time.Second)); !errors.Is(err, openpgp.ErrExpired) {
		t.Errorf("expired subkey: %v: want ErrExpired", err)
	}
	edit := "key 1\nrevkey\ny\n0\n\ny\nsave\n"
	g.run(signed, edit, "--command-fd", "0", "--expert", "--edit-key", "owner")
	if _, err := verify(g.keyring("owner"), signature, signed); !errors.Is(err, openpgp.ErrRevoked) {
		t.Errorf("revoked subkey: %v: want ErrRevoked", err)
	}
}

func TestOneGoodSignatureIsEnough(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	for _, name := range []string{"a", "b", "c"} {
		g.key(name, "ed25519", "never")
	}
	a, b := g.detach("a", text), g.detach("b", text)
	bad := g.detach("a", text+"x")
	both := bytes.Join([][]byte{a, b}, nil)
	for _, c := range []struct {
		what      string
		signature []byte
		keys      string
		want      error
	}{
		{"unknown first", both, "b", nil},
		{"unknown last", both, "a", nil},
		{"wrong first", append(bytes.Clone(bad), b...), "a b", nil},
		{"wrong, other unknown", append(bytes.Clone(bad), b...), "a", openpgp.ErrBadSignature},
		{"none known", both, "c", openpgp.ErrUnknownKey},
		{"wrong", bad, "a", openpgp.ErrBadSignature},
		{"empty", nil, "a", openpgp.ErrUnsigned},
		{"page of a web server", []byte("<html>404</html>"), "a", openpgp.ErrUnsigned},
		{"cut", a[:len(a)-1], "a", openpgp.ErrBadSignature},
		{"a key", g.export("a"), "a", openpgp.ErrBadSignature},
		{"a whole message", g.run(signed, text, "--local-user", "a", "--sign"), "a", openpgp.ErrBadSignature},
		{"too many", bytes.Repeat(a, 65), "a", openpgp.ErrBadSignature},
		{"too long", bytes.Repeat(a, 1<<14), "a", openpgp.ErrBadSignature},
		{"armor cut", []byte("-----BEGIN PGP SIGNATURE-----\n\nAAAA"), "a", openpgp.ErrBadSignature},
	} {
		_, err := verify(g.keyring(strings.Fields(c.keys)...), c.signature, signed)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v: want %v", c.what, err, c.want)
		}
		if c.want == openpgp.ErrUnknownKey {
			for _, name := range []string{"a", "b", "c"} {
				if id := g.fingerprint(name)[24:]; !strings.Contains(err.Error(), id) {
					t.Errorf("%v: want it to name %s", err, id)
				}
			}
		}
	}
}

func TestNothingUnsignedIsAroundADocument(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	g.key("a", "ed25519", "never")
	k, document := g.keyring("a"), string(g.clear("a", text))
	for what, c := range map[string]struct {
		document string
		want     error
	}{
		"blank lines":        {"\n\n" + document + "\n \n", nil},
		"text before":        {"Origin: Other\n" + document, openpgp.ErrBadSignature},
		"text behind":        {document + "Origin: Other\n", openpgp.ErrBadSignature},
		"two documents":      {document + document, openpgp.ErrBadSignature},
		"changed":            {strings.Replace(document, "first", "other", 1), openpgp.ErrBadSignature},
		"line added":         {strings.Replace(document, "first", "more\nfirst", 1), openpgp.ErrBadSignature},
		"header added":       {strings.Replace(document, "\n\n", "\nOrigin: Other\n\n", 1), openpgp.ErrBadSignature},
		"signature cut away": {document[:strings.LastIndex(document, "-----BEGIN")], openpgp.ErrBadSignature},
		"unsigned":           {text, openpgp.ErrUnsigned},
		"empty":              {"", openpgp.ErrUnsigned},
	} {
		content, _, err := k.VerifyInline([]byte(c.document), signed)
		if !errors.Is(err, c.want) || (err == nil) != (len(content) > 0) {
			t.Errorf("%s: %q, %v: want %v", what, content, err, c.want)
		}
	}
}

func TestKeysAreReadArmoredAndBinary(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	g.key("a", "ed25519", "never")
	g.key("b", "rsa2048", "never")
	armored := g.run(signed, "", "--armor", "--export", "a")
	two := append(append([]byte("# our keys\n"), armored...), g.run(signed, "", "--armor", "--export", "b")...)
	want := g.keyring("a", "b").Digest()
	for what, blobs := range map[string][][]byte{
		"two blocks in a file": {two}, "other order": {g.export("b"), armored}, "one twice": {armored, g.export("a", "b")},
	} {
		k, err := openpgp.Parse(blobs...)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, name := range []string{"a", "b"} {
			if _, err := verify(k, g.detach(name, text), signed); err != nil {
				t.Errorf("%s: signed by %s: %v", what, name, err)
			}
		}
		if k.Digest() != want {
			t.Errorf("%s: digest %s: want %s", what, k.Digest(), want)
		}
	}
	if g.keyring("a").Digest() == want {
		t.Error("one key has the digest of two")
	}
	g.run(signed, "", "--quick-set-expire", g.fingerprint("a"), "1y")
	if g.keyring("a", "b").Digest() == want {
		t.Error("the digest is the same though a key expires now")
	}
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	g.key("a", "ed25519", "never")
	key := g.export("a")
	for what, blobs := range map[string][][]byte{
		"none": {}, "empty": {nil}, "text": {[]byte("hello")}, "cut": {key[:20]}, "signature": {g.detach("a", text)},
		"one of two": {key, []byte("hello")}, "private": {g.run(signed, "", "--export-secret-keys", "a")},
		"too long": {bytes.Repeat(key, 4<<20/len(key)+1)},
	} {
		if k, err := openpgp.Parse(blobs...); err == nil || k != nil {
			t.Errorf("%s: %v, %v: want an error", what, k, err)
		}
	}
	dir := t.TempDir()
	fifo, empty := filepath.Join(dir, "fifo"), filepath.Join(dir, "empty")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, empty, filepath.Join(dir, "none")} {
		if _, err := openpgp.Read(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v: want one that names it", path, err)
		}
	}
}

// TestDebianKeys verifies what apt keeps of Debian's archive: its signatures are
// made by several generations of keys.
func TestDebianKeys(t *testing.T) {
	t.Parallel()
	k, err := openpgp.Read("/usr/share/keyrings/debian-archive-keyring.gpg")
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("/var/lib/apt/lists/*_bookworm*_InRelease")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range names {
		document, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(document, []byte("\nOrigin: Debian\n")) {
			continue // somebody else's packages for Debian
		}
		found++
		content, signer, err := k.VerifyInline(document, time.Time{})
		if err != nil || !strings.Contains(signer.Name, "Debian") || !bytes.HasPrefix(content, []byte("Origin: Debian\n")) {
			t.Errorf("%s: %+v, %v", name, signer, err)
		}
		out, err := exec.Command("gpgv", "--keyring", "/usr/share/keyrings/debian-archive-keyring.gpg", "--output", "-", name).Output()
		if err != nil || !bytes.Equal(out, content) {
			t.Errorf("%s: gpgv reads %d bytes, %v: want the same %d", name, len(out), err, len(content))
		}
	}
	if found == 0 {
		t.Error("no InRelease of Debian 12 in /var/lib/apt/lists: run apt-get update")
	}
}
