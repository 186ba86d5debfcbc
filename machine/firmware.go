package machine

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Firmware is a UEFI firmware as QEMU takes it.
type Firmware struct {
	Code string // path of the code, mapped read-only
	Vars string // path of an empty variable store; each machine gets a copy
}

// MissingError is a program or a file of the host that machines need.
type MissingError struct {
	What    string   // such as "UEFI firmware"
	Looked  []string // where it was looked for
	Package string   // the Debian package that brings it
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("no %s at %s (Debian package %s)", e.What, strings.Join(e.Looked, ", "), e.Package)
}

// FindFirmware looks for OVMF where the distributions put it: Debian and
// Ubuntu, then Fedora, then Arch.
func FindFirmware() (Firmware, error) {
	missing := &MissingError{What: "UEFI firmware", Package: "ovmf"}
	for _, f := range []Firmware{
		{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
		{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
		{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
		{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
	} {
		_, codeErr := os.Stat(f.Code)
		_, varsErr := os.Stat(f.Vars)
		if codeErr == nil && varsErr == nil {
			return f, nil
		}
		missing.Looked = append(missing.Looked, f.Code)
	}
	return Firmware{}, missing
}

func findQEMU() (string, error) {
	const name = "qemu-system-x86_64"
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &MissingError{What: name, Looked: []string{"$PATH"}, Package: "qemu-system-x86"}
	}
	return path, nil
}
