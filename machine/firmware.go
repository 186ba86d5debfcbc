package machine

import (
	"fmt"
	"os"
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

// FindFirmware looks for OVMF, the firmware of amd64, where the distributions put it.
func FindFirmware() (Firmware, error) { return boards["amd64"].findFirmware() }

func (b board) findFirmware() (Firmware, error) {
	missing := &MissingError{What: "UEFI firmware", Package: b.firmwarePkg}
	for _, f := range b.firmware {
		_, codeErr := os.Stat(f.Code)
		_, varsErr := os.Stat(f.Vars)
		if codeErr == nil && varsErr == nil {
			return f, nil
		}
		missing.Looked = append(missing.Looked, f.Code)
	}
	return Firmware{}, missing
}
