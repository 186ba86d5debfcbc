package secureboot

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	loaderPath = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
	stubPath   = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
)

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t testing.TB, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// made are two sets of keys: to make them takes seconds.
var made [2]string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "proa-secureboot-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		for i := range made {
			made[i] = filepath.Join(dir, fmt.Sprint(i))
			if _, err := CreateKeys(made[i], "edge", time.Now()); err != nil {
				panic(err)
			}
		}
		return m.Run()
	}())
}

// newKeys is a copy of the first set, strangersKeys of the second.
func newKeys(t testing.TB) string       { return copied(t, made[0]) }
func strangersKeys(t testing.TB) string { return copied(t, made[1]) }

func copied(t testing.TB, from string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "keys")
	run(t, "cp", "-a", from, folder)
	return folder
}

func signer(t testing.TB, folder string) Signer {
	t.Helper()
	s, err := LoadSigner(folder, DB)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignedProgramsVerifyByOtherTools(t *testing.T) {
	keys, strangers := newKeys(t), strangersKeys(t)
	for _, path := range []string{loaderPath, stubPath} {
		signed, err := Sign(read(t, path), signer(t, keys))
		if err != nil {
			t.Fatal(err)
		}
		file := write(t, filepath.Join(t.TempDir(), "signed.efi"), signed)
		if out := run(t, "sbverify", "--cert", keys+"/db.crt", file); !strings.Contains(out, "Signature verification OK") {
			t.Errorf("sbverify: %s", out)
		}
		if out := run(t, "osslsigncode", "verify", "-CAfile", keys+"/db.crt", "-in", file); !strings.Contains(out, "Number of verified signatures: 1") {
			t.Errorf("osslsigncode: %s", out)
		}
		if out, err := exec.Command("sbverify", "--cert", strangers+"/db.crt", file).CombinedOutput(); err == nil {
			t.Errorf("sbverify takes the key of others: %s", out)
		}
		if err := Verify(signed, signer(t, strangers).Certificate); !errors.Is(err, ErrSignature) {
			t.Errorf("the key of others: %v", err)
		}
	}
}

func TestWhatSbsignSignsIsVerified(t *testing.T) {
	keys := newKeys(t)
	file := filepath.Join(t.TempDir(), "signed.efi")
	run(t, "sbsign", "--key", keys+"/db.pem", "--cert", keys+"/db.crt", "--output", file, loaderPath)
	if err := Verify(read(t, file), signer(t, keys).Certificate); err != nil {
		t.Error(err)
	}
}

func TestAProgramThatWasChangedDoesNotVerify(t *testing.T) {
	s := signer(t, newKeys(t))
	plain := read(t, stubPath)
	signed, err := Sign(plain, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{100, 0x500, len(plain) / 2, len(plain) - 1, len(signed) - 20} {
		changed := bytes.Clone(signed)
		changed[at] ^= 1
		if err := Verify(changed, s.Certificate); err == nil {
			t.Errorf("byte %d may be changed", at)
		}
	}
	if err := Verify(append(bytes.Clone(signed), 0), s.Certificate); err == nil {
		t.Error("a byte may be added")
	}
	if err := Verify(plain, s.Certificate); !errors.Is(err, ErrNotSigned) {
		t.Errorf("unsigned: %v", err)
	}
}

// The library takes a signature whose attributes were made for another content.
func TestASignatureThatWasMovedToAnotherDigestDoesNotVerify(t *testing.T) {
	s := signer(t, newKeys(t))
	one, other := read(t, stubPath), read(t, loaderPath)
	signedOne, err := Sign(one, s)
	if err != nil {
		t.Fatal(err)
	}
	signedOther, err := Sign(other, s)
	if err != nil {
		t.Fatal(err)
	}
	digest := func(program []byte) []byte {
		parsed, err := parse(program)
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Hash(crypto.SHA256)
	}
	forged := bytes.Replace(signedOne, digest(signedOne), digest(signedOther), 1)
	if bytes.Equal(forged, signedOne) {
		t.Fatal("the digest is not in the signature")
	}
	// The signature of one, naming the digest of the other, behind the other.
	tableOne, _ := certificates(forged)
	tableOther, _ := certificates(signedOther)
	moved := append(bytes.Clone(signedOther[:tableOther.at]), forged[tableOne.at:]...)
	if err := Verify(moved, s.Certificate); err == nil || !strings.Contains(err.Error(), "not the digest that it names") {
		t.Errorf("moved: %v", err)
	}
}

func TestSigningTwiceIsRefusedAndAStrippedProgramIsSignedAgain(t *testing.T) {
	keys, others := newKeys(t), strangersKeys(t)
	signed, err := Sign(read(t, loaderPath), signer(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(signed, signer(t, others)); !errors.Is(err, ErrSigned) {
		t.Errorf("signing twice: %v", err)
	}
	plain, err := Strip(signed)
	if err != nil {
		t.Fatal(err)
	}
	if has, err := Signed(plain); has || err != nil {
		t.Errorf("stripped, and signed %v, %v", has, err)
	}
	again, err := Sign(plain, signer(t, others))
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(t.TempDir(), "again.efi"), again)
	run(t, "sbverify", "--cert", others+"/db.crt", file)
}

// broken is a token that was pulled out.
type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("no token in the slot")
}

func TestAnErrorOfTheTokenIsAnErrorOfSigning(t *testing.T) {
	s := signer(t, newKeys(t))
	s.Key = broken{s.Key}
	if _, err := Sign(read(t, stubPath), s); err == nil || !strings.Contains(err.Error(), "no token in the slot") {
		t.Errorf("signing: %v", err)
	}
	if _, err := SignUpdate(VariableDB, []byte("list"), s, time.Now(), false); err == nil || !strings.Contains(err.Error(), "no token in the slot") {
		t.Errorf("signing an update: %v", err)
	}
}

func TestUnfitProgramsAreRefused(t *testing.T) {
	s := signer(t, newKeys(t))
	plain := read(t, stubPath)
	pe := int(binary.LittleEndian.Uint32(plain[0x3c:]))
	security := pe + 24 + 112 + 32
	change := func(change func([]byte)) []byte {
		raw := bytes.Clone(plain)
		change(raw)
		return raw
	}
	gap := tinyProgram()
	binary.LittleEndian.PutUint32(gap[64+24+240+20:], 976)
	binary.LittleEndian.PutUint32(gap[64+24+240+16:], 48)
	for name, program := range map[string][]byte{
		"a gap":             gap,
		"empty":             nil,
		"text":              []byte(strings.Repeat("no program ", 100)),
		"cut":               plain[:len(plain)/3],
		"signatures beyond": change(func(r []byte) { binary.LittleEndian.PutUint32(r[security+4:], 1<<31) }),
		"signatures before": change(func(r []byte) {
			binary.LittleEndian.PutUint32(r[security:], 8)
			binary.LittleEndian.PutUint32(r[security+4:], uint32(len(r))-8)
		}),
	} {
		if _, err := Sign(program, s); err == nil {
			t.Errorf("%s: signed", name)
		}
		if err := Verify(program, s.Certificate); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
	s.Certificate = signer(t, strangersKeys(t)).Certificate
	if _, err := Sign(plain, s); err == nil || !strings.Contains(err.Error(), "is of another key") {
		t.Errorf("the certificate of another key: %v", err)
	}
}

// tinyProgram is a program of one section, small enough for the fuzzer to be
// quick.
func tinyProgram() []byte {
	program := make([]byte, 1024)
	copy(program, "MZ")
	binary.LittleEndian.PutUint32(program[0x3c:], 64)
	file := program[64:]
	copy(file, "PE")
	binary.LittleEndian.PutUint16(file[4:], 0x8664)
	binary.LittleEndian.PutUint16(file[6:], 1)
	binary.LittleEndian.PutUint16(file[20:], 240)
	optional := file[24:]
	binary.LittleEndian.PutUint16(optional, 0x20b)
	binary.LittleEndian.PutUint32(optional[60:], 960) // SizeOfHeaders
	binary.LittleEndian.PutUint32(optional[108:], 16) // data directories
	section := optional[240:]
	copy(section, ".text")
	binary.LittleEndian.PutUint32(section[16:], 64)
	binary.LittleEndian.PutUint32(section[20:], 960)
	return program
}

func FuzzVerify(f *testing.F) {
	s := signer(f, newKeys(f))
	signed, err := Sign(tinyProgram(), s)
	if err != nil {
		f.Fatal(err)
	}
	digest, err := parse(signed)
	if err != nil {
		f.Fatal(err)
	}
	want := digest.Hash(crypto.SHA256)
	f.Add(signed)
	f.Fuzz(func(t *testing.T, program []byte) {
		Strip(program)
		if Verify(program, s.Certificate) != nil {
			return
		}
		parsed, err := parse(program)
		if err != nil || !bytes.Equal(parsed.Hash(crypto.SHA256), want) {
			t.Error("another program than the signed one verifies")
		}
	})
}
