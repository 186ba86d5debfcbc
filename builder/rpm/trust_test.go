package rpm_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/rpm"
	. "github.com/proa-os/proa/builder/rpm/rpmtest"
)

func small() Package { return Package{Files: []File{Plain("/etc/motd", "hello\n")}} }

func TestOnlyWhatAKnownKeySignedIsRead(t *testing.T) {
	stranger, short := newKey(0), newKey(24*time.Hour)
	tampered := small().Build(ours().sign)
	at := bytes.Index(tampered, []byte("MIT\x00"))
	tampered[at] = 'X'
	payload := small().Build(ours().sign)
	payload[len(payload)-1] ^= 1
	longer := append(small().Build(ours().sign), 0)
	with := func(values ...Value) []byte {
		p := small()
		p.Signatures = values
		return p.Build(nil)
	}
	good := func() []byte { // a good signature, of the header that small has
		var signature []byte
		small().Build(func(signed []byte) []byte { signature = ours().sign(signed); return signature })
		return signature
	}()
	changed := func(change func(*Package)) []byte {
		p := small()
		change(&p)
		return p.Build(ours().sign)
	}
	for _, c := range []struct {
		name  string
		data  []byte
		want  error
		words string
	}{
		{"signed", small().Build(ours().sign), nil, ""},
		{"signed as RPM 6 does", with(Words(278, base64.StdEncoding.EncodeToString(good))), nil, ""},
		{"signed as with DSA", with(Bytes(267, good)), nil, ""},
		{"signed twice, once by a stranger", with(Bytes(267, stranger.sign(nil)), Bytes(268, good)), nil, ""},
		{"unsigned", small().Build(nil), rpm.ErrUnsigned, ""},
		{"only header and payload together", with(Bytes(1002, good), Bytes(1005, good)), rpm.ErrUnsigned, "header and payload together"},
		{"empty signature", with(Value{Tag: 268, Kind: Bin, Count: 1, Data: []byte{0}}), openpgp.ErrUnsigned, ""},
		{"not base64", with(Words(278, "?")), nil, "illegal base64"},
		{"unknown key", small().Build(stranger.sign), openpgp.ErrUnknownKey, ""},
		{"of something else", with(Bytes(268, ours().sign([]byte("other")))), openpgp.ErrBadSignature, ""},
		{"changed header", tampered, openpgp.ErrBadSignature, ""},
		{"changed payload", payload, rpm.ErrWrongPayload, ""},
		{"longer payload", longer, rpm.ErrWrongPayload, ""},
		{"no payload digest", changed(func(p *Package) { p.Without = []uint32{5092} }), rpm.ErrNoPayloadDigest, ""},
		{"weak payload digest", changed(func(p *Package) { p.More = []Value{Numbers(5093, Int32, 1)} }), rpm.ErrNoPayloadDigest, "algorithm 1"},
		{"no algorithm of the payload digest", changed(func(p *Package) { p.Without = []uint32{5093} }), rpm.ErrNoPayloadDigest, ""},
		{"payload digest that is too short", changed(func(p *Package) { p.More = []Value{Words(5092, "")} }), rpm.ErrWrongPayload, ""},
	} {
		_, err := read(t, c.data)
		if c.want == nil && c.words == "" && err != nil || c.want != nil && !errors.Is(err, c.want) || c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words)) {
			t.Errorf("%s: error %v: want %v %s", c.name, err, c.want, c.words)
		}
		if err != nil && !strings.Contains(err.Error(), "test.rpm") {
			t.Errorf("%s: error %v: want the file's name in it", c.name, err)
		}
	}

	// A build must be repeatable after the key has expired, but nothing that was
	// signed later is accepted.
	config := rpm.ReadConfig{Keys: short.ring(t)}
	early := small().Build(func(b []byte) []byte { return short.signAt(b, keyMade.Add(time.Hour)) })
	if _, err := rpm.Read(t.Context(), newStore(t), write(t, early), config); err != nil {
		t.Errorf("signed before the key expired: %v", err)
	}
	late := small().Build(func(b []byte) []byte { return short.signAt(b, keyMade.Add(25*time.Hour)) })
	if _, err := rpm.Read(t.Context(), newStore(t), write(t, late), config); !errors.Is(err, openpgp.ErrExpired) {
		t.Errorf("signed after the key expired: error %v", err)
	}
}

func TestNoKeysMeansNoPackage(t *testing.T) {
	path := write(t, small().Build(ours().sign))
	if _, err := rpm.Read(t.Context(), newStore(t), path, rpm.ReadConfig{}); err == nil {
		t.Error("a package was read without keys")
	}
	if _, err := rpm.Describe(t.Context(), path, nil); err == nil {
		t.Error("a package was described without keys")
	}
	unsigned := write(t, small().Build(nil))
	if _, err := rpm.Read(t.Context(), newStore(t), unsigned, rpm.Unsigned(rpm.ReadConfig{})); err != nil {
		t.Errorf("unsigned, as allowed: %v", err)
	}
	if _, err := rpm.Read(t.Context(), newStore(t), unsigned, rpm.Unsigned(rpm.ReadConfig{Keys: ours().ring(t)})); !errors.Is(err, rpm.ErrUnsigned) {
		t.Errorf("unsigned with keys: error %v", err)
	}
}

// TestTheSignatureHeaderIsNoData fills the signature header with lies.
func TestTheSignatureHeaderIsNoData(t *testing.T) {
	p := small()
	var signature []byte
	honest := p.Build(func(b []byte) []byte { signature = ours().sign(b); return signature })
	p.Signatures = []Value{
		Bytes(268, signature), Word(269, strings.Repeat("0", 40)), Numbers(271, Int64, 7), Word(273, strings.Repeat("0", 64)),
		Numbers(1000, Int32, 7), Bytes(1004, make([]byte, 16)), Numbers(1007, Int32, 7), Word(1014, "Evil"), Words(1117, "evil"),
		Words(5092, "00"), Words(274, "03"),
	}
	lying := p.Build(nil)
	want, err := read(t, honest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(t, lying)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(want.About, got.About) || len(got.Entries) != 1 {
		t.Errorf("what was read changed with the signature header:\n%+v\n%+v", want.About, got.About)
	}
}

func TestEveryCutIsFound(t *testing.T) {
	whole := small().Build(ours().sign)
	path := write(t, whole)
	ring, store := ours().ring(t), newStore(t)
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := rpm.Read(t.Context(), store, path, rpm.ReadConfig{Keys: ring}); err == nil {
			t.Errorf("the first %d of %d bytes were read", n, len(whole))
		}
	}
}

// TestEveryFlippedByteBehindTheSignaturesIsFound is about all that is signed,
// directly or by digest.
func TestEveryFlippedByteBehindTheSignaturesIsFound(t *testing.T) {
	whole := small().Build(ours().sign)
	start := bytes.LastIndex(whole, []byte("\x8e\xad\xe8\x01"))
	path := write(t, whole)
	ring, store := ours().ring(t), newStore(t)
	for n := start; n < len(whole); n++ {
		whole[n] ^= 0x10
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		whole[n] ^= 0x10
		if _, err := rpm.Read(t.Context(), store, path, rpm.ReadConfig{Keys: ring}); err == nil {
			t.Errorf("byte %d of %d was changed, and the package was read", n, len(whole))
		}
	}
}
