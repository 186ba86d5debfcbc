package efivars

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/hostfs"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestVariableFileIsThatOfEfivarfs(t *testing.T) {
	dir := t.TempDir()
	s := New(hostfs.OS{}, dir)
	check(t, s.WriteString(LoaderEntryOneShot, "proa-b.efi"))
	raw, err := os.ReadFile(filepath.Join(dir, "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"))
	check(t, err)
	if want := "\x07\x00\x00\x00p\x00r\x00o\x00a\x00-\x00b\x00.\x00e\x00f\x00i\x00\x00\x00"; string(raw) != want {
		t.Errorf("file %q: want %q", raw, want)
	}
	check(t, s.WriteString(LoaderEntryOneShot, "a"))
	if text, err := s.ReadString(LoaderEntryOneShot); err != nil || text != "a" {
		t.Errorf("read %q, %v after a shorter write", text, err)
	}
}

func TestAbsentVariableIsNoError(t *testing.T) {
	dir := t.TempDir()
	s := New(hostfs.OS{}, dir)
	check(t, s.Delete(LoaderEntryDefault))
	if text, err := s.ReadString(LoaderEntryDefault); text != "" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
	// efivarfs shows a deleted variable as empty for a while.
	check(t, os.WriteFile(filepath.Join(dir, LoaderEntryDefault.String()), nil, 0o600))
	if _, err := s.Read(LoaderEntryDefault); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty file: %v", err)
	}
	if err := New(hostfs.OS{}, dir+"/none").Present(); err == nil {
		t.Error("a missing folder is taken for a store of variables")
	}
}

// stubborn is firmware that says yes and does nothing.
type stubborn struct{ hostfs.OS }

func (stubborn) WriteVariable(string, []byte) error { return nil }
func (stubborn) RemoveVariable(string) error        { return nil }

func TestFirmwareThatDoesNotKeepAVariableIsFoundOut(t *testing.T) {
	dir := t.TempDir()
	check(t, New(hostfs.OS{}, dir).WriteString(LoaderEntryOneShot, "x"))
	s := New(stubborn{}, dir)
	if err := s.WriteString(LoaderEntryOneShot, "proa-b.efi"); err == nil || !strings.Contains(err.Error(), "did not keep") {
		t.Errorf("write: %v", err)
	}
	if err := s.Delete(LoaderEntryOneShot); err == nil || !strings.Contains(err.Error(), "did not delete") {
		t.Errorf("delete: %v", err)
	}
}

func TestOddStringsAreRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"empty": "", "odd": "a\x00\x00", "no end": "a\x00b\x00", "inner end": "a\x00\x00\x00b\x00\x00\x00", "half a pair": "\x00\xd8a\x00\x00\x00",
	} {
		if text, err := DecodeString([]byte(raw)); err == nil {
			t.Errorf("%s: decoded as %q", name, text)
		}
	}
}

// fromOVMF is a boot option in the form that EDK2 gives to a disk with a loader:
// PciRoot(0)/Pci(3,0)/HD(1,GPT,…)/\EFI\BOOT\BOOTX64.EFI.
const fromOVMF = "01000000" + "7000" + "500072006f0061000000" +
	"02010c00" + "d041030a00000000" +
	"01010600" + "0003" +
	"04012a00" + "01000000" + "0008000000000000" + "0000020000000000" + "33332222" + "1111" + "4444" + "5555" + "666666666666" + "0202" +
	"04043000" + "5c004500460049005c0042004f004f0054005c0042004f004f0054005800360034002e004500460049000000" +
	"7fff0400"

func TestLoadOptionOfFirmwareIsReadAndGivenBack(t *testing.T) {
	raw, err := hex.DecodeString(fromOVMF)
	check(t, err)
	o, err := ParseLoadOption(raw)
	check(t, err)
	if o.Description != "Proa" || len(o.Path) != 4 || !bytes.Equal(o.Encode(), raw) {
		t.Errorf("read %+v, written as %x", o, o.Encode())
	}
	drive := HardDrive{Number: 1, Start: 2048, Size: 131072, GUID: guid(t, "22223333-1111-4444-5555-666666666666")}
	if got := drive.Node(); !bytes.Equal(got.Data, o.Path[2].Data) {
		t.Errorf("hard drive node %x: want %x", got.Data, o.Path[2].Data)
	}
	short := LoadOption{Attributes: Active, Path: o.Path[2:]}
	if !short.Loads(drive, `\EFI\boot\bootx64.efi`) {
		t.Error("the short form is not recognised")
	}
	for name, other := range map[string]LoadOption{
		"inactive":     {Path: o.Path[2:]},
		"no file":      {Attributes: Active, Path: o.Path[2:3]},
		"long form":    {Attributes: Active, Path: o.Path},
		"file first":   {Attributes: Active, Path: []Node{o.Path[3], o.Path[2]}},
		"another file": {Attributes: Active, Path: []Node{o.Path[2], FileNode(`\EFI\x.efi`)}},
	} {
		if other.Loads(drive, `\EFI\BOOT\BOOTX64.EFI`) {
			t.Errorf("%s: taken for ours", name)
		}
	}
}

func guid(t testing.TB, text string) partitions.GUID {
	g, err := partitions.ParseGUID(text)
	check(t, err)
	return g
}

func FuzzParseLoadOption(f *testing.F) {
	raw, _ := hex.DecodeString(fromOVMF)
	f.Add(raw)
	f.Add(LoadOption{Attributes: Active, Description: "proa", Path: []Node{FileNode(`\a`)}, Optional: []byte("x")}.Encode())
	f.Add([]byte("\x01\x00\x00\x00\x04\x00\x00\x00\x7f\xff\x03\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := ParseLoadOption(raw)
		if err == nil && !bytes.Equal(o.Encode(), raw) {
			t.Errorf("%x is given back as %x", raw, o.Encode())
		}
	})
}

func FuzzDecodeString(f *testing.F) {
	f.Add(EncodeString("proa-b.efi"))
	f.Add([]byte("\x3d\xd8\x00\xde\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, err := DecodeString(raw)
		if err == nil && !bytes.Equal(EncodeString(text), raw) {
			t.Errorf("%x is given back as %x", raw, EncodeString(text))
		}
	})
}
