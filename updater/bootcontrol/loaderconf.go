package bootcontrol

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/hostfs"
)

// loaderConf is loader.conf on a boot partition.
type loaderConf struct {
	fs    hostfs.FS
	mount string // the folder where the boot partition is mounted
}

func (c loaderConf) path() string {
	return filepath.Join(c.mount, filepath.FromSlash(esp.LoaderConfPath))
}

func (c loaderConf) read() (esp.Layout, partitions.Slot, error) {
	const most = 64 << 10
	content, err := hostfs.ReadFile(c.fs, c.path(), most)
	if err != nil {
		return "", 0, fmt.Errorf("boot partition: %w", err)
	}
	layout, slot, err := esp.ParseLoaderConf(content)
	if err != nil {
		return "", 0, fmt.Errorf("boot partition: %w", err)
	}
	return layout, slot, nil
}

// committed is the committed slot of a boot partition that has the layout.
func (c loaderConf) committed(want esp.Layout) (partitions.Slot, error) {
	layout, slot, err := c.read()
	if err == nil && layout != want {
		err = fmt.Errorf("boot partition: %s is laid out for %s: want %s", esp.LoaderConfPath, layout, want)
	}
	return slot, err
}

// commit writes the letter in place.
func (c loaderConf) commit(layout esp.Layout, slot partitions.Slot) error {
	return c.overwrite(layout.Conf(slot), layout.Letter(), 1)
}

// convert writes the pattern in place, and leaves the letter as it is.
func (c loaderConf) convert(layout esp.Layout, slot partitions.Slot) error {
	return c.overwrite(layout.Conf(slot), esp.PatternOffset, esp.PatternSize)
}

// overwrite writes size bytes of what is to be in the file from then on, all
// of them in its one sector. It writes even what is there already: that may not
// be on the medium, if a killed run ended between the write and the sync.
func (c loaderConf) overwrite(want []byte, offset, size int64) error {
	f, err := c.fs.OpenWritable(c.path())
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(want[offset:offset+size], offset); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := c.fs.SyncFS(c.mount); err != nil {
		return err
	}
	if err := f.Drop(0, esp.LoaderConfSize); err != nil {
		return err
	}
	back, err := hostfs.ReadFile(c.fs, c.path(), esp.LoaderConfSize)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, want) {
		return errors.New("the boot partition did not keep what was written")
	}
	return nil
}
