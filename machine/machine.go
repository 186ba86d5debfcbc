// Package machine boots proa's disk images in QEMU and talks to the guest: for
// the VM tests, for rehearsals, for the demo.
//
// New describes a machine: a disk, a variable store and the log folder stay
// with it. Boot starts one QEMU process, which ends when the guest resets,
// powers off or loses power; the next Boot goes on with the same disk and
// variables. In between, the disk is an ordinary file that anybody may read or
// damage. Run executes a command inside the guest, where the program of
// machine/guest answers.
//
// Every boot ends when its context does, and QEMU dies with this process. The
// package never uses hardware acceleration unless it is asked to by name, so
// that a run means the same on every host.
package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// DefaultAccel is emulation with a thread per CPU. A host's /dev/kvm is not
// used silently: it may be there and not work.
const DefaultAccel = "tcg,thread=multi"

// The least memory, in MiB, that guests were seen to boot with. OVMF itself
// crashes in 192 MiB.
const (
	MemoryAppliance = 256 // busybox and a few programs
	MemoryDebian    = 512 // Debian with systemd
)

// Config describes a machine.
type Config struct {
	// Disk is the raw image that the guest boots from and writes to; required.
	Disk string
	// Dir is where the variable store and the logs of each boot are kept; it is
	// made when missing. Required.
	Dir string
	// Arch is a Go architecture name, "amd64" or "arm64"; "" means amd64.
	Arch string
	// Firmware to boot with; the zero value means the architecture's, where the
	// distributions put it.
	Firmware Firmware
	// Kernel, when set, is booted directly, without firmware.
	Kernel *Kernel
	// Memory in MiB; 0 means MemoryAppliance.
	Memory int
	// CPUs of the guest; 0 means 1.
	CPUs int
	// Accel is QEMU's -accel; "" means DefaultAccel.
	Accel string
	// Forwards are TCP ports of the host's loopback that lead into the guest. The
	// guest has user networking in any case: it is 10.0.2.15/24, its gateway
	// 10.0.2.2 is the host's loopback.
	Forwards []Forward
	// Netboot, when set, is what firmware gets that boots from the network, from a
	// server at 10.0.2.2.
	Netboot *Netboot
	// Record makes each boot log every write, flush and discard of the disk and
	// of the variable store, in the order in which QEMU completed them: see
	// Boot.DiskWrites and Boot.VariableWrites.
	Record bool
	// TPM gives the machine a software TPM 2.0, whose state is kept with the
	// machine.
	TPM bool
	// SecureBoot gives the machine firmware that enforces Secure Boot, and the keys
	// in it; nil means firmware that boots anything. For amd64 only.
	SecureBoot *SecureBoot
	// Screen gives the machine a display, for Boot.Screenshot.
	Screen bool
	// Arguments are more arguments for QEMU.
	Arguments []string
}

// Kernel is what a direct boot needs.
type Kernel struct {
	Image       string // path
	Initrd      string // path
	CommandLine string // console=ttyS0 is not added
}

// Netboot is a folder that TFTP serves.
type Netboot struct {
	Folder string // path
	File   string // the program that DHCP names, such as "live.efi"
}

// Forward is one forwarded TCP port.
type Forward struct {
	Host  int // on 127.0.0.1
	Guest int
}

// Machine is a computer that can be booted again and again.
type Machine struct {
	config Config
	boots  int
	last   *Boot
}

// New makes a machine with a fresh variable store. It checks that everything
// a boot needs is there: an error names what is missing.
func New(config Config) (*Machine, error) {
	if config.Memory == 0 {
		config.Memory = MemoryAppliance
	}
	if config.CPUs == 0 {
		config.CPUs = 1
	}
	if config.Accel == "" {
		config.Accel = DefaultAccel
	}
	if config.Dir == "" {
		return nil, fmt.Errorf("machine without a folder: Dir is required")
	}
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return nil, err
	}
	board, err := config.board()
	if err != nil {
		return nil, err
	}
	if _, err := board.find(); err != nil {
		return nil, err
	}
	if config.TPM {
		if _, err := findTPM(); err != nil {
			return nil, err
		}
	}
	if config.SecureBoot != nil {
		if board.machine != boards["amd64"].machine || config.Kernel != nil {
			return nil, fmt.Errorf("machine with Secure Boot: want amd64 and firmware")
		}
		board.firmware = secureFirmware
	}
	if config.Kernel == nil && config.Firmware == (Firmware{}) {
		found, err := board.findFirmware()
		if err != nil {
			return nil, err
		}
		config.Firmware = found
	}
	needed := []string{config.Disk}
	if config.Kernel != nil {
		needed = append(needed, config.Kernel.Image, config.Kernel.Initrd)
	} else {
		needed = append(needed, config.Firmware.Code, config.Firmware.Vars)
	}
	for _, path := range needed {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	}
	m := &Machine{config: config}
	return m, m.ForgetVariables()
}

// ForgetVariables gives the machine a fresh variable store, as a new mainboard
// would have, with the keys of Config.SecureBoot. It must not be running.
func (m *Machine) ForgetVariables() error {
	if m.config.Kernel != nil {
		return nil
	}
	if err := Clone(m.Variables(), m.config.Firmware.Vars); err != nil {
		return err
	}
	return m.config.SecureBoot.enroll(m.Variables())
}

// Variables is the path of the machine's variable store.
func (m *Machine) Variables() string { return filepath.Join(m.config.Dir, "vars.fd") }

// Disk is the path of the machine's disk.
func (m *Machine) Disk() string { return m.config.Disk }

// Boot switches the machine on. The boot ends when the guest resets or powers
// off, at PowerCut, and when ctx ends. A machine runs once at a time: Boot
// refuses while an earlier boot has not ended.
func (m *Machine) Boot(ctx context.Context) (*Boot, error) {
	if m.last != nil && !m.last.Ended() {
		return nil, fmt.Errorf("boot %d of %s is still running", m.boots, m.config.Disk)
	}
	m.boots++
	boot, err := start(ctx, m, m.boots)
	if err != nil {
		return nil, fmt.Errorf("starting boot %d of %s: %w", m.boots, m.config.Disk, err)
	}
	m.last = boot
	return boot, nil
}
