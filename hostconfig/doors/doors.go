// Package doors finds the configuration that somebody has for a machine: in
// credentials of its firmware, in a file that the installer left, on a NoCloud
// volume. It reads alone.
package doors

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/regular"
)

// Found is a configuration that nobody has parsed yet.
type Found struct {
	Door string // in words, such as "SMBIOS credential proa.config"
	Data []byte
	// MetaData is that of a NoCloud volume, which has a host's name.
	MetaData []byte
}

// House is where the doors of a machine are.
type House struct {
	Sys string // where sysfs is mounted
	// ESP is the boot partition as a folder, and lets go of it. The error wraps
	// fs.ErrNotExist where there is no such partition.
	ESP func() (folder string, release func(), err error)
	// Dev has the nodes of block devices.
	Dev string
	// MountVolume mounts a device with a file system of the kind read-only.
	MountVolume func(device, kind string) (folder string, release func(), err error)
	// LoadModules asks the kernel for modules, as far as it has them.
	LoadModules func(names ...string)
	Most        int64 // bytes of a configuration
}

// door is one way.
type door struct {
	name string
	look func(House) (*Found, error)
}

// doors in the order in which they are looked at: what is nearest to whoever
// starts the machine comes first.
var doors = []door{
	{"SMBIOS", House.smbios},
	{"fw_cfg", House.fwcfg},
	{"boot partition", House.esp},
	{"NoCloud volume", House.noCloud},
}

// Look returns what is behind the first door that has something; nil: none has.
// A door that cannot be opened is an error, since what is behind it counts.
func (h House) Look() (*Found, error) {
	for _, d := range doors {
		found, err := d.look(h)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, nil
}

// Credential is the name of the systemd credential.
const Credential = "proa.config"

// smbios reads credentials in strings of type 11, as systemd has them:
// systemd.system-credentials(7).
func (h House) smbios() (*Found, error) {
	const most = 16 << 20
	table, err := regular.Read(filepath.Join(h.Sys, "firmware/dmi/tables/DMI"), most)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no such firmware
	}
	if err != nil {
		return nil, err
	}
	var found *Found
	for _, text := range oemStrings(table) {
		f, err := credentialOf(text)
		if err != nil {
			return nil, err
		}
		if f != nil && found != nil {
			return nil, fmt.Errorf("credential %s is there twice", Credential)
		}
		if f != nil {
			found = f
		}
	}
	return found, h.check(found)
}

func (h House) check(f *Found) error {
	if f != nil && int64(len(f.Data)) > h.Most {
		return fmt.Errorf("the configuration has %d bytes: want at most %d", len(f.Data), h.Most)
	}
	return nil
}

func credentialOf(text string) (*Found, error) {
	name := "SMBIOS credential " + Credential
	if value, ok := strings.CutPrefix(text, "io.systemd.credential:"+Credential+"="); ok {
		return &Found{Door: name, Data: []byte(value)}, nil
	}
	if value, ok := strings.CutPrefix(text, "io.systemd.credential.binary:"+Credential+"="); ok {
		data, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return nil, fmt.Errorf("credential %s: %w", Credential, err)
		}
		return &Found{Door: name, Data: data}, nil
	}
	return nil, nil
}

// oemStrings are the strings of all structures of type 11 in a table of SMBIOS
// (DMTF DSP0134, sections 6.1 and 7.12). A table that breaks off ends there.
func oemStrings(table []byte) []string {
	const header, oem, end = 4, 11, 127
	var all []string
	for len(table) >= header {
		kind, length := table[0], int(table[1])
		if length < header || length > len(table) {
			break
		}
		rest := table[length:]
		stop := bytes.Index(rest, []byte{0, 0})
		if stop < 0 {
			break
		}
		if kind == oem {
			for text := range bytes.SplitSeq(rest[:stop], []byte{0}) {
				all = append(all, string(text))
			}
		}
		if kind == end {
			break
		}
		table = rest[stop+2:]
	}
	return all
}

// fwcfg reads files that QEMU was given by -fw_cfg.
func (h House) fwcfg() (*Found, error) {
	folder := filepath.Join(h.Sys, "firmware/qemu_fw_cfg/by_name")
	if _, err := os.Stat(folder); err != nil {
		h.LoadModules("qemu_fw_cfg")
	}
	for _, name := range []string{"opt/io.systemd.credentials/" + Credential, "opt/com.coreos/config"} {
		data, err := regular.Read(filepath.Join(folder, name, "raw"), h.Most)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &Found{Door: "fw_cfg " + name, Data: data}, nil
	}
	return nil, nil
}

// ESPPath is where the installer leaves a configuration on the boot partition.
const ESPPath = "proa/config"

func (h House) esp() (*Found, error) {
	folder, release, err := h.ESP()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer release()
	data, err := regular.Read(filepath.Join(folder, ESPPath), h.Most)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Found{Door: "file " + ESPPath + " of the boot partition", Data: data}, nil
}
