package rehearsal

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/esp/fat"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/journal"
)

// disk is a machine's, read from outside. The machine may be running: what it
// changes in one sector is then read as it was or as it is.
type disk struct{ path string }

// partition opens the disk and finds a partition of it.
func (d disk) partition(role partitions.Role) (hostfs.File, partitions.Partition, error) {
	f, err := hostfs.OS{}.Open(d.path)
	if err != nil {
		return nil, partitions.Partition{}, err
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return nil, partitions.Partition{}, err
	}
	table, err := gpt.Read(f, size)
	if err != nil {
		f.Close()
		return nil, partitions.Partition{}, fmt.Errorf("%s: %w", d.path, err)
	}
	p, ok := table.Find(role)
	if !ok {
		f.Close()
		return nil, partitions.Partition{}, fmt.Errorf("%s: no partition %s", d.path, role)
	}
	return f, p, nil
}

// journal is what the agent noted; nothing is an ordinary state.
func (d disk) journal() (journal.Record, error) {
	f, p, err := d.partition(partitions.RoleState)
	if err != nil {
		return journal.Record{}, err
	}
	defer f.Close()
	record, _, err := journal.New(hostfs.Section(f, p.Start, p.Size)).Read()
	return record, err
}

// boot reads the boot partition.
func (d disk) boot(read func(*fat.FileSystem) error) error {
	f, p, err := d.partition(partitions.RoleESP)
	if err != nil {
		return err
	}
	defer f.Close()
	files, err := fat.Open(io.NewSectionReader(f, p.Start, p.Size), p.Size)
	if err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	return read(files)
}

// committed is the slot that the loader boots by default.
func (d disk) committed() (slot partitions.Slot, err error) {
	err = d.boot(func(files *fat.FileSystem) error {
		content, err := files.ReadFile(esp.LoaderConfPath, 4096)
		if err != nil {
			return err
		}
		_, slot, err = esp.ParseLoaderConf(content)
		return err
	})
	return slot, err
}

// kernelMost bounds a kernel image, in bytes.
const kernelMost = 1 << 30

// kernel is the digest of a slot's kernel image.
func (d disk) kernel(slot partitions.Slot) (digest manifests.Digest, err error) {
	err = d.boot(func(files *fat.FileSystem) error {
		image, err := files.Open(esp.UKIPath(slot))
		if err != nil {
			return err
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, io.LimitReader(image, kernelMost)); err != nil {
			return err
		}
		digest = manifests.Digest(sum.Sum(nil))
		return nil
	})
	return digest, err
}
