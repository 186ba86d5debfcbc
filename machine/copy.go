package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Copy is another machine that is as this one is now, with the same variables and
// TPM, and without logs. It has a copy of the disk, at a path where nothing is
// missed, and a folder of its own. This machine must not be running.
func (m *Machine) Copy(disk, dir string) (*Machine, error) {
	if m.last != nil && !m.last.Ended() {
		return nil, fmt.Errorf("boot %d of %s is still running", m.boots, m.config.Disk)
	}
	config := m.config
	config.Dir, config.Disk = dir, disk
	if err := Clone(config.Disk, m.config.Disk); err != nil {
		return nil, err
	}
	copied, err := New(config)
	if err != nil {
		return nil, err
	}
	if m.config.Kernel == nil {
		if err := Clone(copied.Variables(), m.Variables()); err != nil {
			return nil, err
		}
	}
	err = os.CopyFS(copied.tpmFolder(), os.DirFS(m.tpmFolder()))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // no TPM, or one that was never switched on
	}
	return copied, err
}

// Discard removes what the machine has kept, but for the logs of its boots. It must
// not be running, and cannot be used any more.
func (m *Machine) Discard() error {
	return errors.Join(os.RemoveAll(m.config.Disk), os.RemoveAll(m.Variables()), os.RemoveAll(m.tpmFolder()))
}
