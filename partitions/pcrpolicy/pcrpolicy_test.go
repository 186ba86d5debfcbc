package pcrpolicy_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions/pcrpolicy"
	"github.com/proa-os/proa/partitions/pcrpolicy/tpmtest"
)

// calculated is PCR 11 of a kernel as systemd-measure calculates it.
func calculated(t *testing.T, kernel string) (pcr [sha256.Size]byte) {
	t.Helper()
	text, err := exec.Command("/lib/systemd/systemd-measure", "calculate", "--bank=sha256", "--phase=:", "--linux="+kernel).Output()
	if err != nil {
		t.Fatalf("systemd-measure: %v", err)
	}
	_, value, _ := strings.Cut(strings.TrimSpace(string(text)), "11:sha256=")
	if n, err := hex.Decode(pcr[:], []byte(value)); err != nil || n != len(pcr) {
		t.Fatalf("systemd-measure says %q", text)
	}
	return pcr
}

func TestSignedPolicyIsTheOneThatSystemdMeasureSigns(t *testing.T) {
	dir := t.TempDir()
	key, kernel := tpmtest.NewKey(t, dir), filepath.Join(dir, "kernel")
	if err := os.WriteFile(kernel, []byte("kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/lib/systemd/systemd-measure", "sign", "--bank=sha256", "--phase=:", "--json=short", "--linux="+kernel,
		"--private-key="+dir+"/private.pem", "--public-key="+dir+"/public.pem", "--tpm2-device="+tpmtest.Start(t))
	cmd.Stderr = os.Stderr
	want, err := cmd.Output()
	if err != nil {
		t.Fatalf("systemd-measure sign: %v", err)
	}
	pcr := calculated(t, kernel)
	got, err := pcrpolicy.Sign(key, pcr)
	if err != nil {
		t.Fatal(err)
	}
	// A signature of this kind is the same each time.
	var ours, theirs any
	if json.Unmarshal(got, &ours) != nil || json.Unmarshal(want, &theirs) != nil {
		t.Fatalf("no JSON:\n%s\n%s", got, want)
	}
	if canonical(ours) != canonical(theirs) {
		t.Errorf("signed\n%s\nsystemd-measure signs\n%s", got, want)
	}
	if err := pcrpolicy.Check(want, &key.PublicKey, pcr); err != nil {
		t.Errorf("what systemd-measure signed: %v", err)
	}
}

func canonical(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

func TestPolicyOfAnotherImageKeyOrBytesIsRefused(t *testing.T) {
	key, other := tpmtest.NewKey(t, t.TempDir()), tpmtest.NewKey(t, t.TempDir())
	pcr := sha256.Sum256([]byte("image"))
	signed, err := pcrpolicy.Sign(key, pcr)
	if err != nil {
		t.Fatal(err)
	}
	if err := pcrpolicy.Check(append(signed, 0, 0), &key.PublicKey, pcr); err != nil {
		t.Errorf("padded with zeros: %v", err)
	}
	changed := func(change func(*pcrpolicy.Signature)) []byte {
		var all pcrpolicy.Signatures
		if err := json.Unmarshal(signed, &all); err != nil {
			t.Fatal(err)
		}
		change(&all.SHA256[0])
		text, _ := json.Marshal(all)
		return text
	}
	for name, test := range map[string]struct {
		signed []byte
		key    *rsa.PublicKey
		pcr    [sha256.Size]byte
		want   error
	}{
		"another image":    {signed, &key.PublicKey, sha256.Sum256([]byte("changed")), pcrpolicy.ErrNotSigned},
		"another key":      {signed, &other.PublicKey, pcr, pcrpolicy.ErrNotSigned},
		"another register": {changed(func(s *pcrpolicy.Signature) { s.PCRs = []int{12} }), &key.PublicKey, pcr, pcrpolicy.ErrNotSigned},
		"no signature":     {[]byte("{}"), &key.PublicKey, pcr, pcrpolicy.ErrNotSigned},
		"a changed one":    {changed(func(s *pcrpolicy.Signature) { s.Value[7] ^= 1 }), &key.PublicKey, pcr, rsa.ErrVerification},
	} {
		if err := pcrpolicy.Check(test.signed, test.key, test.pcr); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
	if err := pcrpolicy.CheckSigner(signed, &key.PublicKey); err != nil {
		t.Errorf("the signer of another image's policy: %v", err)
	}
	if err := pcrpolicy.CheckSigner(signed, &other.PublicKey); !errors.Is(err, pcrpolicy.ErrNotSigned) {
		t.Errorf("another signer: error %v, want %v", err, pcrpolicy.ErrNotSigned)
	}
	forged := changed(func(s *pcrpolicy.Signature) { s.Value[7] ^= 1 })
	if err := pcrpolicy.CheckSigner(forged, &key.PublicKey); !errors.Is(err, rsa.ErrVerification) {
		t.Errorf("a signer's changed signature: error %v, want %v", err, rsa.ErrVerification)
	}
	if err := pcrpolicy.Check([]byte("nothing"), &key.PublicKey, pcr); err == nil {
		t.Error("text that is no JSON was taken")
	}
}

func TestKeysThatTPMsCannotCheckAreRefused(t *testing.T) {
	dir := t.TempDir()
	tpmtest.NewKey(t, dir)
	text, err := os.ReadFile(filepath.Join(dir, "public.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pcrpolicy.ParseKey(append(text, "\n\x00"...)); err != nil {
		t.Error(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&long.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	short := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, text := range map[string][]byte{"two": append(bytes.Clone(text), text...), "none": []byte("key"), "short": short} {
		if _, err := pcrpolicy.ParseKey(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := pcrpolicy.Sign(long, sha256.Sum256(nil)); err == nil {
		t.Error("signed with a key of 1024 bits")
	}
	if _, err := pcrpolicy.Sign(lying{long}, sha256.Sum256(nil)); err == nil {
		t.Error("a signature that does not verify was handed out")
	}
}

// lying is a signer whose device signs with another key than the one it shows.
type lying struct{ *rsa.PrivateKey }

func (lying) Public() crypto.PublicKey {
	key, _ := rsa.GenerateKey(rand.Reader, pcrpolicy.Bits)
	return &key.PublicKey
}

func FuzzCheck(f *testing.F) {
	key := tpmtest.NewKey(f, f.TempDir())
	pcr := sha256.Sum256([]byte("image"))
	signed, err := pcrpolicy.Sign(key, pcr)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed, []byte("-----BEGIN PUBLIC KEY-----"))
	f.Fuzz(func(t *testing.T, signed, text []byte) {
		pcrpolicy.ParseKey(text)
		if pcrpolicy.Check(signed, &key.PublicKey, sha256.Sum256([]byte("another"))) == nil {
			t.Error("an image that was never signed passes")
		}
	})
}
