package machine

import (
	"fmt"
	"strconv"
	"strings"
)

// The file descriptors that QEMU inherits: see exec.Cmd.ExtraFiles.
const (
	guestFD = 3 // the guest channel
	qmpFD   = 4 // QEMU's own protocol
	tpmFD   = 5 // the TPM, if there is one
)

// arguments are QEMU's. What the guest has written is in the host's page cache
// and survives a kill of QEMU, so a power cut here loses nothing that the guest
// completed, flushed or not: with cache=unsafe its flushes do not wait for the
// host's disk. Lost and reordered writes are not simulated.
//
// There is no bootindex: OVMF would drop the Boot#### entries that do not
// match it, and with them the second entry that proa relies on.
func (m *Machine) arguments(b *Boot, board board) []string {
	c := m.config
	secure, mode := c.secure()
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", board.machine + mode + b.pflash(),
		"-accel", c.Accel,
		"-cpu", c.cpu(board),
		"-m", strconv.Itoa(c.Memory),
		"-smp", strconv.Itoa(c.CPUs),
		"-chardev", "file,id=serial,path=" + escape(b.Log), "-serial", "chardev:serial",
		"-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", qmpFD), "-mon", "chardev=qmp,mode=control",
		"-device", "virtio-serial-pci",
		"-chardev", fmt.Sprintf("socket,id=guest,fd=%d", guestFD),
		"-device", "virtserialport,chardev=guest,name=" + PortName,
		"-device", "virtio-blk-pci,drive=disk" + b.merging(),
		"-netdev", "user,id=net" + c.forwards() + c.netboot(),
		"-device", "virtio-net-pci,netdev=net,romfile=",
	}
	if c.Record {
		args = append(args, b.recorded(m)...)
	} else {
		args = append(args, "-drive", "if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file="+escape(c.Disk))
	}
	if c.Kernel != nil {
		args = append(args, "-kernel", c.Kernel.Image, "-initrd", c.Kernel.Initrd, "-append", c.Kernel.CommandLine)
	} else if !c.Record {
		args = append(args,
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+escape(c.Firmware.Code),
			"-drive", "if=pflash,unit=1,format=raw,cache=unsafe,file="+escape(m.Variables()))
	}
	if c.Screen {
		// A guest that ends stays until there is a picture of it: see monitor.
		args = append(args, "-device", board.screen, "-action", "shutdown=pause")
	}
	args = append(args, secure...)
	args = append(args, c.tpmArguments()...)
	return append(args, c.Arguments...)
}

// cpu is QEMU's -cpu: with hardware acceleration the host's own.
func (c Config) cpu(board board) string {
	if c.Accel == KVM {
		return "host"
	}
	return board.cpu
}

func (c Config) forwards() string {
	var b strings.Builder
	for _, f := range c.Forwards {
		fmt.Fprintf(&b, ",hostfwd=tcp:127.0.0.1:%d-:%d", f.Host, f.Guest)
	}
	return b.String()
}

func (c Config) netboot() string {
	if c.Netboot == nil {
		return ""
	}
	return ",tftp=" + escape(c.Netboot.Folder) + ",bootfile=" + escape(c.Netboot.File)
}

// escape doubles the commas, which separate options for QEMU.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }
