package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

const efiVariables = "/sys/firmware/efi/efivars"

// The boot loader's variables (systemd's Boot Loader Interface), and our own.
const (
	loaderVendor  = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
	entrySelected = "LoaderEntrySelected" // the UKI that was booted
	entryOneShot  = "LoaderEntryOneShot"  // the UKI to boot once, next time
	stubMeasured  = "StubPcrKernelImage"  // the register that the UKI was measured into, if it was

	globalVendor = "8be4df61-93ca-11d2-aa0d-00e098032b8c" // UEFI's own
	secureBoot   = "SecureBoot"                           // one byte: 1 if it is enforced

	proaVendor    = "5d0e1c9a-47f3-4b8e-8a26-70726f610002"
	fallbackCount = "ProaFallback" // one byte: resets by fallBack since the last boot that found its root
)

// attributes: kept without power, and seen by the loader and the system.
const attributes = 0x7

// variables is a mounted efivarfs: a file per variable, with the attributes in
// its first four bytes (Documentation/filesystems/efivarfs.rst).
type variables string

func (v variables) path(name, vendor string) string {
	return filepath.Join(string(v), name+"-"+vendor)
}

func (v variables) read(name, vendor string) ([]byte, error) {
	content, err := os.ReadFile(v.path(name, vendor))
	if err != nil {
		return nil, err
	}
	if len(content) < 4 {
		return nil, fmt.Errorf("EFI variable %s of %d bytes: want at least 4", name, len(content))
	}
	return content[4:], nil
}

// write sets a variable with one write(2), as the file system demands.
func (v variables) write(name, vendor string, value []byte) error {
	path := v.path(name, vendor)
	if err := allowChanges(path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	content := append(binary.LittleEndian.AppendUint32(nil, attributes), value...)
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

// remove deletes a variable; that there is none is no error.
func (v variables) remove(name, vendor string) error {
	path := v.path(name, vendor)
	if err := allowChanges(path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

const immutable = 0x10 // FS_IMMUTABLE_FL of linux/fs.h

// allowChanges clears the flag with which efivarfs guards variables.
func allowChanges(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	flags, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&immutable == 0 {
		return nil // no such flags here; the write shows what that means
	}
	if err := unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable); err != nil {
		return fmt.Errorf("making %s writable: %w", path, err)
	}
	return nil
}

// decodeUTF16 reads a string of EFI's: UTF-16LE up to a zero.
func decodeUTF16(raw []byte) string {
	var units []uint16
	for ; len(raw) >= 2; raw = raw[2:] {
		unit := binary.LittleEndian.Uint16(raw)
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return string(utf16.Decode(units))
}

// encodeUTF16 is the inverse, with the zero.
func encodeUTF16(s string) []byte {
	var raw []byte
	for _, unit := range append(utf16.Encode([]rune(s)), 0) {
		raw = binary.LittleEndian.AppendUint16(raw, unit)
	}
	return raw
}
