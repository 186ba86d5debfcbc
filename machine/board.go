package machine

import (
	"fmt"
	"os/exec"
)

// board is what machines of an architecture are made of.
type board struct {
	qemu        string // the program
	pkg         string // Debian's, that brings it
	machine     string // QEMU's -machine
	cpu         string // QEMU's -cpu, where CPUs are emulated
	screen      string // QEMU's -device that is a display
	firmware    []Firmware
	firmwarePkg string
}

var boards = map[string]board{
	"amd64": {
		qemu: "qemu-system-x86_64", pkg: "qemu-system-x86",
		machine: "q35,hpet=off",
		cpu:     "qemu64,+rdrand", // rdrand: the kernel's random numbers are ready at once
		screen:  "VGA",
		// Debian and Ubuntu, then Fedora, then Arch.
		firmware: []Firmware{
			{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
			{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
			{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
			{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
		},
		firmwarePkg: "ovmf",
	},
	"arm64": {
		qemu: "qemu-system-aarch64", pkg: "qemu-system-arm",
		machine: "virt",
		cpu:     "max,pauth-impdef=on", // the pointer authentication of real CPUs takes half of the time when emulated
		screen:  "ramfb",
		firmware: []Firmware{
			{"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},
			{"/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"},
		},
		firmwarePkg: "qemu-efi-aarch64",
	},
}

// board is the one of the machine's architecture.
func (c Config) board() (board, error) {
	arch := c.Arch
	if arch == "" {
		arch = "amd64"
	}
	b, ok := boards[arch]
	if !ok {
		return board{}, fmt.Errorf("machine of architecture %q: want amd64 or arm64", arch)
	}
	return b, nil
}

// find looks for the board's QEMU.
func (b board) find() (string, error) {
	path, err := exec.LookPath(b.qemu)
	if err != nil {
		return "", &MissingError{What: b.qemu, Looked: []string{"$PATH"}, Package: b.pkg}
	}
	return path, nil
}
