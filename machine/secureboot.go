package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// SecureBoot is the keys of a machine's firmware: each an EFI_SIGNATURE_LIST, as
// the files .esl of 'proa key new --secure-boot'. Without PK the firmware is in setup
// mode: it boots anything, and takes keys from whoever gives it some.
type SecureBoot struct {
	PK, KEK, DB []byte
}

// secureFirmware is OVMF that guards its variables by system management mode,
// where Debian and Ubuntu, Fedora and Arch put it.
var secureFirmware = []Firmware{
	{"/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
	{"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
	{"/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
}

// secure is what Config.SecureBoot adds to QEMU's arguments, and to its -machine.
func (c Config) secure() (args []string, machine string) {
	if c.SecureBoot == nil {
		return nil, ""
	}
	// Resuming from memory would run what nobody has checked.
	return []string{
		"-global", "driver=cfi.pflash01,property=secure,value=on",
		"-global", "ICH9-LPC.disable_s3=1",
	}, ",smm=on"
}

// variable is one variable of the firmware's store.
type variable struct {
	name       string
	vendor     string // 16 bytes as EFI stores them
	attributes uint32
	content    []byte
}

// The vendors of the variables, and their attributes (UEFI Specification 2.10,
// section 32.3; EDK II, SecurityPkg, ImageAuthentication.h).
const (
	vendorGlobal   = "\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c"
	vendorDatabase = "\xcb\xb2\x19\xd7\x3a\x3d\x96\x45\xa3\xbc\xda\xd0\x0e\x67\x65\x6f"
	vendorEnable   = "\xc7\x0b\xa3\xf0\x08\xaf\x56\x45\x99\xc4\x00\x10\x09\xc9\x3a\x44"

	attributesKey    = 0x27 // kept, seen by loaders and systems, written with a signature that has a time
	attributesEnable = 0x03 // kept, seen by loaders
)

// enroll writes the keys into an empty variable store, as a factory would.
func (s *SecureBoot) enroll(path string) error {
	if s == nil || len(s.PK) == 0 {
		return nil
	}
	return appendVariables(path, []variable{
		{"db", vendorDatabase, attributesKey, s.DB},
		{"KEK", vendorGlobal, attributesKey, s.KEK},
		{"PK", vendorGlobal, attributesKey, s.PK},
		{"SecureBootEnable", vendorEnable, attributesEnable, []byte{1}},
	})
}

// Parts of a store (EDK II, MdeModulePkg, VariableFormat.h).
const (
	volumeLength   = 48 // in the volume's header: where the header's own length is
	storeHeader    = 28 // GUID, size, format, state, reserved
	variableHeader = 60
	variableStart  = 0x55aa
	variableAdded  = 0x3f
	authenticated  = "\x78\x2c\xf3\xaa\x7b\x94\x9a\x43\xa1\x80\x2e\x14\x4e\xc3\x77\x92" // the GUID of stores whose variables have a time
)

// appendVariables adds variables to the store that a file of OVMF's begins
// with. They must not be there yet.
func appendVariables(path string, variables []variable) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	store, start, err := readStore(file)
	if err != nil {
		return err
	}
	at, err := freeSpace(store)
	if err != nil {
		return fmt.Errorf("variable store %s: %w", path, err)
	}
	var added []byte
	for _, v := range variables {
		added = append(added, v.encode()...)
	}
	if at+len(added) > len(store) {
		return fmt.Errorf("variable store %s: %d bytes are free, %d needed", path, len(store)-at, len(added))
	}
	if _, err := file.WriteAt(added, int64(start+at)); err != nil {
		return err
	}
	return file.Close()
}

// freeSpace is where the last variable of a store ends.
func freeSpace(store []byte) (int, error) {
	at := storeHeader
	for at+variableHeader <= len(store) && binary.LittleEndian.Uint16(store[at:]) == variableStart {
		name, content := binary.LittleEndian.Uint32(store[at+36:]), binary.LittleEndian.Uint32(store[at+40:])
		next := int64(at) + variableHeader + int64(name) + int64(content)
		if next > int64(len(store)) {
			return 0, errors.New("a variable leaves the store")
		}
		at = (int(next) + 3) &^ 3
	}
	if at < len(store) && len(bytes.Trim(store[at:], "\xff")) > 0 {
		return 0, errors.New("what is behind its variables is not empty")
	}
	return at, nil
}

func (v variable) encode() []byte {
	name := encodeName(v.name)
	raw := make([]byte, variableHeader)
	binary.LittleEndian.PutUint16(raw, variableStart)
	raw[2] = variableAdded
	binary.LittleEndian.PutUint32(raw[4:], v.attributes)
	if v.attributes == attributesKey {
		// The time of the last update: any later one may replace the keys.
		binary.LittleEndian.PutUint16(raw[16:], 2000)
		raw[18], raw[19] = 1, 1
	}
	binary.LittleEndian.PutUint32(raw[36:], uint32(len(name)))
	binary.LittleEndian.PutUint32(raw[40:], uint32(len(v.content)))
	copy(raw[44:], v.vendor)
	raw = append(append(raw, name...), v.content...)
	return append(raw, bytes.Repeat([]byte{0xff}, -len(raw)&3)...)
}
