// Package efivars reads and writes EFI variables through a folder of the form
// of efivarfs: one file per variable, "<name>-<vendor GUID>", holding 4 bytes
// of attributes and then the data (Linux Documentation/filesystems/efivarfs.rst).
//
// It also speaks the two formats that the updater needs: the strings of the
// Boot Loader Interface, and load options (see LoadOption).
package efivars

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/proa-os/proa/updater/hostfs"
)

// Attributes of a variable (UEFI Specification 2.10, section 8.2.1).
const (
	NonVolatile    = 0x1
	BootService    = 0x2
	RuntimeService = 0x4

	// Persistent is what variables that are to survive a reset carry.
	Persistent = NonVolatile | BootService | RuntimeService
)

// The vendors whose variables the updater uses.
const (
	VendorGlobal = "8be4df61-93ca-11d2-aa0d-00e098032b8c" // EFI_GLOBAL_VARIABLE
	VendorLoader = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f" // the Boot Loader Interface of systemd
	VendorProa   = "5d0e1c9a-47f3-4b8e-8a26-70726f610002" // our own
)

// Name is a variable's full name.
type Name struct {
	Name   string
	Vendor string // lower-case GUID
}

// Variables of the Boot Loader Interface (systemd.io/BOOT_LOADER_INTERFACE).
// Each holds the id of a boot entry, which for a UKI is its file name.
var (
	LoaderEntryOneShot  = Name{"LoaderEntryOneShot", VendorLoader}  // boot this once; the loader removes it as it reads it
	LoaderEntryDefault  = Name{"LoaderEntryDefault", VendorLoader}  // overrides loader.conf
	LoaderEntrySelected = Name{"LoaderEntrySelected", VendorLoader} // what this firmware boot booted; volatile
)

// String is the name of the variable's file.
func (n Name) String() string { return n.Name + "-" + n.Vendor }

// Variable is a variable's content.
type Variable struct {
	Attributes uint32
	Data       []byte
}

// dataMost bounds what is read of one variable; firmware rarely allows 32 KiB.
const dataMost = 64 << 10

// Store is a folder of variables.
type Store struct {
	fs  hostfs.FS
	dir string
}

// New is the store in dir, on a host /sys/firmware/efi/efivars.
func New(fsys hostfs.FS, dir string) Store { return Store{fsys, dir} }

func (s Store) path(n Name) string { return filepath.Join(s.dir, n.String()) }

// Present reports whether there is a folder of variables at all: without one
// the machine was not booted by UEFI, or efivarfs is not mounted.
func (s Store) Present() error {
	names, err := s.fs.List(s.dir)
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s is empty: is efivarfs mounted there?", s.dir) // sysfs has the folder without it
	}
	if err != nil {
		return fmt.Errorf("EFI variables: %w", err)
	}
	return nil
}

// Read is the variable's content; the error of one that does not exist wraps
// fs.ErrNotExist.
func (s Store) Read(n Name) (Variable, error) {
	raw, err := hostfs.ReadFile(s.fs, s.path(n), dataMost)
	if err != nil {
		return Variable{}, fmt.Errorf("EFI variable %s: %w", n.Name, err)
	}
	// The kernel shows a variable that was just deleted as an empty file.
	if len(raw) == 0 {
		return Variable{}, fmt.Errorf("EFI variable %s: empty: %w", n.Name, fs.ErrNotExist)
	}
	if len(raw) < 4 {
		return Variable{}, fmt.Errorf("EFI variable %s: %d bytes: want 4 of attributes and the data", n.Name, len(raw))
	}
	return Variable{Attributes: binary.LittleEndian.Uint32(raw), Data: raw[4:]}, nil
}

// Write stores the variable and reads it back: firmware may answer with
// success and store nothing. A variable that is already so is not written.
func (s Store) Write(n Name, v Variable) error {
	if old, err := s.Read(n); err == nil && old.Attributes == v.Attributes && bytes.Equal(old.Data, v.Data) {
		return nil
	}
	raw := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(v.Data)), v.Attributes)
	if err := s.fs.WriteVariable(s.path(n), append(raw, v.Data...)); err != nil {
		return fmt.Errorf("EFI variable %s: %w", n.Name, err)
	}
	back, err := s.Read(n)
	if err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	if back.Attributes != v.Attributes || !bytes.Equal(back.Data, v.Data) {
		return fmt.Errorf("EFI variable %s: the firmware did not keep what was written", n.Name)
	}
	return nil
}

// Delete removes the variable, and is content when there is none.
func (s Store) Delete(n Name) error {
	if _, err := s.Read(n); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := s.fs.RemoveVariable(s.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting EFI variable %s: %w", n.Name, err)
	}
	if _, err := s.Read(n); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("EFI variable %s: the firmware did not delete it", n.Name)
	}
	return nil
}

// ReadString is the text of a variable of the Boot Loader Interface, or ""
// when there is no such variable.
func (s Store) ReadString(n Name) (string, error) {
	v, err := s.Read(n)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := DecodeString(v.Data)
	if err != nil {
		return "", fmt.Errorf("EFI variable %s: %w", n.Name, err)
	}
	return text, nil
}

// WriteString stores text that survives a reset.
func (s Store) WriteString(n Name, text string) error {
	return s.Write(n, Variable{Attributes: Persistent, Data: EncodeString(text)})
}

// EncodeString is text as EFI stores it: UTF-16LE with a NUL at the end.
func EncodeString(text string) []byte {
	raw := make([]byte, 0, 2*len(text)+2)
	for _, unit := range utf16.Encode([]rune(text)) {
		raw = binary.LittleEndian.AppendUint16(raw, unit)
	}
	return append(raw, 0, 0)
}

// ErrText is wrapped by the error of a variable that should hold text and does
// not.
var ErrText = errors.New("not text")

// DecodeString reads UTF-16LE text with one NUL at its end; an odd length, a
// NUL elsewhere and half a surrogate pair are an ErrText.
func DecodeString(raw []byte) (string, error) {
	if len(raw)%2 != 0 || len(raw) < 2 {
		return "", fmt.Errorf("%w: %d bytes: want UTF-16 with a NUL at its end", ErrText, len(raw))
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	last := len(units) - 1
	for i, unit := range units {
		if (unit == 0) != (i == last) {
			return "", fmt.Errorf("%w: a NUL is at %d of %d characters, or missing: want one, at its end", ErrText, i, len(units))
		}
	}
	var text []byte
	for i := 0; i < last; i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			r = utf16.DecodeRune(r, rune(units[i+1]))
			if r == utf8.RuneError {
				return "", fmt.Errorf("%w: half a surrogate pair at character %d", ErrText, i)
			}
			i++
		}
		text = utf8.AppendRune(text, r)
	}
	return string(text), nil
}
