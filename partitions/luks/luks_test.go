package luks_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions/luks"
)

// volume is an encrypted partition in a file, made by cryptsetup.
type volume struct {
	t    testing.TB
	dir  string
	path string
}

func newVolume(t testing.TB) volume {
	t.Helper()
	dir := t.TempDir()
	v := volume{t, dir, filepath.Join(dir, "volume")}
	if err := os.WriteFile(v.file("key"), []byte(strings.Repeat("k", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(v.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(v.path, 20<<20); err != nil {
		t.Fatal(err)
	}
	v.run("cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--label", "var", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--key-file", v.file("key"), v.path)
	return v
}

func (v volume) file(name string) string { return filepath.Join(v.dir, name) }

func (v volume) run(name string, args ...string) string {
	v.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		v.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// seal lets systemd-cryptenroll add a way in by a software TPM.
func (v volume) seal(args ...string) {
	v.t.Helper()
	v.run("systemd-cryptenroll", append(args, "--unlock-key-file="+v.file("key"), "--tpm2-device="+softwareTPM(v.t), v.path)...)
}

func (v volume) read() luks.Header {
	v.t.Helper()
	h, err := v.open()
	if err != nil {
		v.t.Fatal(err)
	}
	return h
}

func (v volume) open() (luks.Header, error) {
	v.t.Helper()
	content, err := os.ReadFile(v.path)
	if err != nil {
		v.t.Fatal(err)
	}
	return luks.Read(bytes.NewReader(content))
}

// overwrite puts bytes into the volume's file.
func (v volume) overwrite(at int64, content []byte) {
	v.t.Helper()
	f, err := os.OpenFile(v.path, os.O_WRONLY, 0)
	if err != nil {
		v.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(content, at); err != nil {
		v.t.Fatal(err)
	}
}

// softwareTPM starts a TPM and returns how systemd's tools call it.
func softwareTPM(t testing.TB) string {
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

func TestAHeaderOfCryptsetupIsReadAsCryptsetupReadsIt(t *testing.T) {
	v := newVolume(t)
	h := v.read()
	if want := v.run("cryptsetup", "luksUUID", v.path); h.UUID != want || h.Label != "var" || len(h.TPM2) != 0 {
		t.Errorf("read %+v, want UUID %s, label var, and no TPM", h, want)
	}
	_, public := newKey(t, v)
	v.seal("--tpm2-pcrs=7", "--tpm2-public-key="+public, "--tpm2-public-key-pcrs=11")
	h = v.read()
	key, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.TPM2) != 1 || len(h.TPM2[0].PCRs) != 1 || h.TPM2[0].PCRs[0] != 7 || h.TPM2[0].SignedPCRs[0] != 11 || !bytes.Equal(h.TPM2[0].Key, key) {
		t.Errorf("read %+v", h)
	}
	v.run("systemd-cryptenroll", "--wipe-slot=tpm2", v.path)
	if h = v.read(); len(h.TPM2) != 0 {
		t.Errorf("after the TPM's slot was wiped: read %+v", h)
	}
}

func TestTheCopyOfADamagedHeaderIsRead(t *testing.T) {
	v := newVolume(t)
	want := v.read()
	v.overwrite(0, make([]byte, 4096))
	if got := v.read(); got.UUID != want.UUID {
		t.Errorf("without the first: read %+v, want %+v", got, want)
	}
	v.overwrite(16<<10+4096+2, []byte("x"))
	if _, err := v.open(); err == nil || !strings.Contains(err.Error(), "does not have its checksum") {
		t.Errorf("without both: error %v, want one about the checksum", err)
	}
}

func TestWhatIsNoHeaderIsRefusedByName(t *testing.T) {
	v := newVolume(t)
	whole, err := os.ReadFile(v.path)
	if err != nil {
		t.Fatal(err)
	}
	whole = whole[:32<<10]
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

func FuzzRead(f *testing.F) {
	v := newVolume(f)
	raw, err := os.ReadFile(v.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[:4096], bytes.TrimRight(raw[4096:16<<10], "\x00"))
	f.Add(raw[:4096], []byte(`{"keyslots":{"1":{}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["1"],"tpm2_pubkey":"AA==","tpm2_pubkey_pcrs":[11]}}}`))
	f.Fuzz(func(t *testing.T, head, text []byte) {
		image := make([]byte, 16<<10)
		copy(image, head)
		copy(image[4096:], text)
		resum(image)
		h, err := luks.Read(bytes.NewReader(image))
		if err != nil {
			return
		}
		if err := h.Opens(bytes.NewReader(text), int64(len(text))); err == nil && len(h.TPM2) == 0 {
			t.Error("no TPM opens it, and one does")
		}
	})
}
