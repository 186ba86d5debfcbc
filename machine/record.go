package machine

import (
	"fmt"
	"os"
	"path/filepath"
)

// writeLogRoom is the length that the logs of Config.Record are given, in
// bytes, because QEMU's driver does not grow them. They are sparse.
const writeLogRoom = 16 << 30

// makeWriteLogs makes the boot's empty logs.
func (b *Boot) makeWriteLogs(config Config) error {
	b.DiskWrites = filepath.Join(config.Dir, fmt.Sprintf("boot-%d.disk-writes", b.Number))
	paths := []string{b.DiskWrites}
	if config.Kernel == nil {
		b.VariableWrites = filepath.Join(config.Dir, fmt.Sprintf("boot-%d.variable-writes", b.Number))
		paths = append(paths, b.VariableWrites)
	}
	for _, path := range paths {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return err
		}
		if err := os.Truncate(path, writeLogRoom); err != nil {
			return err
		}
	}
	return nil
}

// recorded are QEMU's arguments for a disk, and firmware, whose writes are
// logged. The log of a node is not in the drive's cache: each entry is there as
// soon as the guest learns that its write has completed.
func (b *Boot) recorded(m *Machine) []string {
	args := []string{
		"-blockdev", "driver=file,node-name=disk-file,discard=unmap,filename=" + escape(m.config.Disk),
		"-blockdev", "driver=file,node-name=disk-writes,filename=" + escape(b.DiskWrites),
		"-blockdev", "driver=blklogwrites,node-name=disk,discard=unmap,file=disk-file,log=disk-writes,log-sector-size=512",
	}
	if b.VariableWrites == "" {
		return args
	}
	return append(args,
		"-blockdev", "driver=file,node-name=firmware,read-only=on,filename="+escape(m.config.Firmware.Code),
		"-blockdev", "driver=file,node-name=variables-file,filename="+escape(m.Variables()),
		"-blockdev", "driver=file,node-name=variable-writes,filename="+escape(b.VariableWrites),
		"-blockdev", "driver=blklogwrites,node-name=variables,file=variables-file,log=variable-writes,log-sector-size=512",
	)
}

// pflash is the part of QEMU's -machine that says which block nodes hold
// recorded firmware.
func (b *Boot) pflash() string {
	if b.VariableWrites == "" {
		return ""
	}
	return ",pflash0=firmware,pflash1=variables"
}

// merging is an option of the disk's device: recorded writes are as large as
// the guest made them.
func (b *Boot) merging() string {
	if b.DiskWrites == "" {
		return ""
	}
	return ",request-merging=off"
}
