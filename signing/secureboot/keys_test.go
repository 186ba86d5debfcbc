package secureboot

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/signing"
)

func TestListsAreThoseThatSbsiglistMakes(t *testing.T) {
	keys := newKeys(t)
	owner := ownerOf(signerNamed(t, keys, PK).Certificate)
	guid := fmt.Sprintf("%x-%x-%x-%x-%x", owner[0:4], owner[4:6], owner[6:8], owner[8:10], owner[10:])
	for _, name := range []string{PK, KEK, DB} {
		block, _ := pem.Decode(read(t, filepath.Join(keys, name+CertificateEnding)))
		der := write(t, filepath.Join(t.TempDir(), "der"), block.Bytes)
		list := filepath.Join(t.TempDir(), "list")
		run(t, "sbsiglist", "--owner", guid, "--type", "x509", "--output", list, der)
		if !bytes.Equal(read(t, list), read(t, filepath.Join(keys, name+ListEnding))) {
			t.Errorf("%s: another list than that of sbsiglist", name)
		}
	}
}

func signerNamed(t *testing.T, folder, name string) Signer {
	t.Helper()
	s, err := LoadSigner(folder, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestUpdatesHaveTheFormOfSbvarsign compares every byte but those of the
// signature, which OpenSSL verifies.
func TestUpdatesHaveTheFormOfSbvarsign(t *testing.T) {
	keys := newKeys(t)
	for _, test := range []struct {
		variable Variable
		by       string
		more     bool
	}{{VariablePK, PK, false}, {VariableKEK, PK, false}, {VariableDB, KEK, false}, {VariableDB, KEK, true}, {VariableDBX, KEK, true}} {
		s := signerNamed(t, keys, test.by)
		at := time.Date(2026, 11, 26, 3, 4, 5, 999, time.FixedZone("", 3600))
		list := read(t, filepath.Join(keys, DB+ListEnding))
		got, err := SignUpdate(test.variable, list, s, at, test.more)
		if err != nil {
			t.Fatal(err)
		}
		flags := "NON_VOLATILE,BOOTSERVICE_ACCESS,RUNTIME_ACCESS,TIME_BASED_AUTHENTICATED_WRITE_ACCESS"
		if test.more {
			flags += ",APPEND_WRITE"
		}
		file := filepath.Join(t.TempDir(), "update")
		run(t, "sbvarsign", "--attr", flags, "--key", keys+"/"+test.by+".pem", "--cert", keys+"/"+test.by+".crt", "--output", file,
			string(test.variable), write(t, filepath.Join(t.TempDir(), "list"), list))
		theirs := read(t, file)
		const when, head = 16, 40 // of EFI_VARIABLE_AUTHENTICATION_2, with the certificate's GUID
		if want := []byte{0xea, 7, 11, 26, 2, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}; !bytes.Equal(got[:when], want) {
			t.Errorf("%s: time %v: want %v", test.variable, got[:when], want)
		}
		if !bytes.Equal(got[when+4:head], theirs[when+4:head]) {
			t.Errorf("%s: header %x: sbvarsign has %x", test.variable, got[when:head], theirs[when:head])
		}
		length := int(binary.LittleEndian.Uint32(got[when:])) - (head - when)
		signature, content := got[head:head+length], got[head+length:]
		if !bytes.Equal(content, list) {
			t.Errorf("%s: the content is not behind the signature", test.variable)
		}
		// What the firmware hashes: name, vendor, attributes, time, content.
		var signed []byte
		for _, r := range string(test.variable) {
			signed = append(signed, byte(r), 0)
		}
		signed = append(signed, test.variable.GUID().disk()...)
		flagBits := uint32(0x27)
		if test.more {
			flagBits = 0x67
		}
		signed = append(append(binary.LittleEndian.AppendUint32(signed, flagBits), got[:when]...), list...)
		dir := t.TempDir()
		run(t, "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", write(t, dir+"/sig", wrapped(t, signature)),
			"-content", write(t, dir+"/content", signed), "-certfile", keys+"/"+test.by+".crt", "-noverify", "-out", os.DevNull)
	}
}

// wrapped puts the ContentInfo around signed data that OpenSSL wants.
func wrapped(t *testing.T, signedData []byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: signedData}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestKeysAreNeverReplacedAndMadeAllOrNone(t *testing.T) {
	folder := t.TempDir()
	taken := write(t, filepath.Join(folder, "db.crt"), []byte("mine"))
	if _, err := CreateKeys(folder, "edge", time.Now()); err == nil {
		t.Error("keys were made over others")
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 || string(read(t, taken)) != "mine" {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestPrivateKeysAreTheirOwnersOnly(t *testing.T) {
	folder := newKeys(t)
	for _, name := range []string{PK, KEK, DB, PCR} {
		info, err := os.Stat(filepath.Join(folder, name+signing.PrivateKeyEnding))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	if err := os.Chmod(filepath.Join(folder, "db.pem"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSigner(folder, DB); err == nil || !strings.Contains(err.Error(), "readable by others") {
		t.Errorf("a key that others can read: %v", err)
	}
}

func TestTheNewestKeyOfTheDatabaseSigns(t *testing.T) {
	folder := newKeys(t)
	for _, want := range []string{"db-2", "db-3"} {
		made, err := AddDB(folder, "edge", time.Now())
		if err != nil || made.Name != want || !slices.Contains(made.Files, filepath.Join(folder, want+".auth")) {
			t.Errorf("made %+v, %v", made, err)
		}
		if newest, err := NewestDB(folder); newest != want || err != nil {
			t.Errorf("newest %s, %v", newest, err)
		}
	}
	// The private half of the newest is somewhere else.
	if err := os.Remove(filepath.Join(folder, "db-3.pem")); err != nil {
		t.Fatal(err)
	}
	if newest, err := NewestDB(folder); newest != "db-2" || err != nil {
		t.Errorf("newest here %s, %v", newest, err)
	}
	if _, err := NewestDB(t.TempDir()); err == nil {
		t.Error("a folder without keys has one")
	}
}
