package luks_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions/luks"
	"github.com/proa-os/proa/partitions/luks/lukstest"
)

func read(t testing.TB, v lukstest.Volume) luks.Header {
	t.Helper()
	h, err := luks.Read(bytes.NewReader(v.Content()))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAHeaderOfCryptsetupIsReadAsCryptsetupReadsIt(t *testing.T) {
	v := lukstest.New(t)
	h := read(t, v)
	if want := v.Run("cryptsetup", "luksUUID", v.Path); h.UUID != want || h.Label != "var" || len(h.TPM2) != 0 {
		t.Errorf("read %+v, want UUID %s, label var, and no TPM", h, want)
	}
	_, public := lukstest.NewKey(t)
	v.Seal("--tpm2-pcrs=7", "--tpm2-public-key="+public, "--tpm2-public-key-pcrs=11")
	h = read(t, v)
	key, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.TPM2) != 1 || len(h.TPM2[0].PCRs) != 1 || h.TPM2[0].PCRs[0] != 7 || h.TPM2[0].SignedPCRs[0] != 11 || !bytes.Equal(h.TPM2[0].Key, key) {
		t.Errorf("read %+v", h)
	}
	v.Run("systemd-cryptenroll", "--wipe-slot=tpm2", v.Path)
	if h = read(t, v); len(h.TPM2) != 0 {
		t.Errorf("after the TPM's slot was wiped: read %+v", h)
	}
}

func TestTheCopyOfADamagedHeaderIsRead(t *testing.T) {
	v := lukstest.New(t)
	want := read(t, v)
	raw := v.Content()
	clear(raw[:4096])
	if got, err := luks.Read(bytes.NewReader(raw)); err != nil || got.UUID != want.UUID {
		t.Errorf("without the first: read %+v, %v, want %+v", got, err, want)
	}
	raw[16<<10+4096+2] ^= 1
	if _, err := luks.Read(bytes.NewReader(raw)); err == nil || !strings.Contains(err.Error(), "does not have its checksum") {
		t.Errorf("without both: error %v, want one about the checksum", err)
	}
}

func TestWhatIsNoHeaderIsRefusedByName(t *testing.T) {
	v := lukstest.New(t)
	whole := v.Content()[:32<<10]
	change := func(change func([]byte)) []byte {
		raw := bytes.Clone(whole)
		clear(raw[16<<10:]) // the copy
		change(raw)
		return raw
	}
	text := func(text string) []byte {
		return change(func(r []byte) {
			clear(r[4096 : 16<<10])
			copy(r[4096:], text)
			resum(r)
		})
	}
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"empty":       {nil, "no LUKS2 header"},
		"zeros":       {make([]byte, 1<<20), "no LUKS2 header"},
		"version 1":   {change(func(r []byte) { r[7] = 1 }), "no LUKS2 header"},
		"size":        {change(func(r []byte) { binary.BigEndian.PutUint64(r[8:], 1<<62) }), "header of 4611686018427387904 bytes"},
		"odd size":    {change(func(r []byte) { binary.BigEndian.PutUint64(r[8:], 20<<10) }), "header of 20480 bytes"},
		"elsewhere":   {change(func(r []byte) { r[263] = 1 }), "says that it is at 1"},
		"checksum":    {change(func(r []byte) { copy(r[72:], "sha512\x00") }), `checksum "sha512"`},
		"cut":         {whole[:8<<10], "unexpected EOF"},
		"no JSON":     {text("{"), "unexpected end of JSON"},
		"a list":      {text(`{"tokens":[]}`), "cannot unmarshal"},
		"a number":    {text(`{"keyslots":{"1":{}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["1"],"tpm2-pcrs":["7"]}}}`), "token 0"},
		"without key": {text(`{"keyslots":{"1":{}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["1"],"tpm2_pubkey_pcrs":[11]}}}`), "registers without a key"},
	} {
		_, err := luks.Read(bytes.NewReader(test.raw))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
		if errors.Is(err, luks.ErrNone) != (test.want == "no LUKS2 header") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	h, err := luks.Read(bytes.NewReader(text(`{"tokens":{"0":{"type":"systemd-tpm2","keyslots":["1"]}}}`)))
	if err != nil || len(h.TPM2) != 0 {
		t.Errorf("a token for a slot that is not there: read %+v, %v", h, err)
	}
}

// resum gives a changed first header its checksum.
func resum(raw []byte) {
	const sumAt, size = 448, 16 << 10
	clear(raw[sumAt : sumAt+64])
	sum := sha256.Sum256(raw[:size])
	copy(raw[sumAt:], sum[:])
}

// header is a first header with the given JSON.
func header(text []byte) []byte {
	raw := make([]byte, 16<<10)
	copy(raw, "LUKS\xba\xbe\x00\x02")
	binary.BigEndian.PutUint64(raw[8:], uint64(len(raw)))
	copy(raw[72:], "sha256")
	copy(raw[4096:], text)
	resum(raw)
	return raw
}

func TestTheNewerOfTwoCopiesCounts(t *testing.T) {
	// A cut between the two writes of a change leaves the first newer; a damaged disk
	// that comes back, the second.
	const sealed = `{"keyslots":{"1":{}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["1"],"tpm2-pcrs":[7]}}}`
	for _, newer := range []int{0, 1} {
		texts := []string{"{}", "{}"}
		texts[newer] = sealed
		first, second := header([]byte(texts[0])), header([]byte(texts[1]))
		copy(second, "SKUL")
		binary.BigEndian.PutUint64(second[256:], 16<<10) // where it is
		binary.BigEndian.PutUint64([][]byte{first, second}[newer][16:], 2)
		resum(first)
		resum(second)
		h, err := luks.Read(bytes.NewReader(append(first, second...)))
		if err != nil || len(h.TPM2) != 1 {
			t.Errorf("copy %d is newer: read %+v, %v", newer, h, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	seal := `{"keyslots":{"1":{}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["1"],"tpm2_pubkey":"AA==","tpm2_pubkey_pcrs":[11]}}}`
	for _, text := range []string{"{}", seal, strings.Replace(seal, "systemd-tpm2", "another", 1)} {
		f.Add([]byte(text), uint64(16<<10), 0, byte(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint64, at int, value byte) {
		raw := header(text[:min(len(text), 12<<10)])
		binary.BigEndian.PutUint64(raw[8:], size)
		if at >= 0 && at < 448 {
			raw[at] = value
		}
		resum(raw)
		h, err := luks.Read(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if err := h.Opens(bytes.NewReader(text), int64(len(text))); err == nil && len(h.TPM2) == 0 {
			t.Error("no TPM opens it, and one does")
		}
	})
}
