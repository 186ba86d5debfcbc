package luks_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/uki"
	"github.com/proa-os/proa/partitions/luks"
	"github.com/proa-os/proa/partitions/luks/lukstest"
	"github.com/proa-os/proa/partitions/pcrpolicy"
	"github.com/proa-os/proa/partitions/ukifile"
)

// image is a kernel image with a signed policy of its own measurement; without a key it
// has none.
func image(t *testing.T, line string, key *rsa.PrivateKey) []byte {
	t.Helper()
	stub, err := os.ReadFile("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	if err != nil {
		t.Fatal(err)
	}
	config := uki.Config{
		Stub: stub, Kernel: stub, Initrd: []byte("initrd"), CommandLine: line, OSRelease: []byte("ID=test\n"), Uname: "6.1",
	}
	for range 2 { // the signature is not measured
		raw, err := uki.Assemble(config)
		if err != nil {
			t.Fatal(err)
		}
		if key == nil || config.PCRSignature != nil {
			return raw
		}
		if config.PCRSignature, err = pcrpolicy.Sign(key, measure(t, raw)); err != nil {
			t.Fatal(err)
		}
	}
	return nil
}

func measure(t *testing.T, raw []byte) [sha256.Size]byte {
	t.Helper()
	measured, err := ukifile.Measurement(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return measured
}

func TestOnlyAnImageThatTheKeySignedAPolicyForOpensTheVolume(t *testing.T) {
	v := lukstest.New(t)
	key, public := lukstest.NewKey(t)
	signed := image(t, "quiet", key)
	if err := read(t, v).Opens(bytes.NewReader(signed), int64(len(signed))); !errors.Is(err, luks.ErrNoTPM) {
		t.Errorf("a volume for no TPM: error %v, want %v", err, luks.ErrNoTPM)
	}
	v.SealTo(public)
	h := read(t, v)
	// What is measured changes, and the policy does not.
	changed := bytes.Replace(signed, []byte("quiet"), []byte("debug"), 1)
	other, err := rsa.GenerateKey(rand.Reader, pcrpolicy.Bits)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		raw     []byte
		opens   string // part of the error; "" for none
		mayOpen string
	}{
		"signed":      {signed, "", ""},
		"next":        {image(t, "another line", key), "", ""},
		"changed":     {changed, "signed no policy", ""},
		"unsigned":    {image(t, "quiet", nil), "has no signed PCR policy", "has no signed PCR policy"},
		"another key": {image(t, "quiet", other), "signed no policy", "signed no policy"},
		"no image":    {[]byte("MZ"), "unexpected EOF", "unexpected EOF"},
	} {
		wantError(t, name+": Opens", h.Opens(bytes.NewReader(test.raw), int64(len(test.raw))), test.opens)
		wantError(t, name+": MayOpen", h.MayOpen(bytes.NewReader(test.raw), int64(len(test.raw))), test.mayOpen)
	}
}

func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want %q", what, err, want)
	}
}

func TestRegistersThatEveryReleaseChangesOpenForNone(t *testing.T) {
	v := lukstest.New(t)
	key, public := lukstest.NewKey(t)
	signed := image(t, "quiet", key)
	opens := func() error { return read(t, v).Opens(bytes.NewReader(signed), int64(len(signed))) }
	v.Seal("--tpm2-pcrs=4+7")
	wantError(t, "PCRs 4 and 7", opens(), "PCR 4 had")
	v.Seal("--tpm2-public-key="+public, "--tpm2-public-key-pcrs=11+12", "--tpm2-pcrs=")
	wantError(t, "signed PCRs 11 and 12", opens(), "signed values of PCRs [11 12]")
	v.Seal("--tpm2-pcrs=7")
	wantError(t, "PCR 7 as one way of three", opens(), "")
}
