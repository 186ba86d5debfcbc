// Package devmapper opens dm-verity devices with the kernel's device-mapper,
// as far as proa-init and the agent need it: create, replace, look, remove; and
// makes devices of parts of others, for media whose partitions have none. Every
// device it makes is read-only.
//
// It speaks the ioctls of /dev/mapper/control (linux/dm-ioctl.h, version 4)
// and needs no udev and no libdevmapper. A device is known by name to
// device-mapper and by its node, /dev/dm-N, to everybody else; devtmpfs makes
// the node.
package devmapper

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// RootName is the name of the device that holds the running root file system.
const RootName = "root"

// Reaction is what the kernel does when it reads a block that does not match
// its hash (Documentation/admin-guide/device-mapper/verity.rst).
type Reaction string

// The reactions. The zero value gives the reader an I/O error.
const (
	ReportError Reaction = ""
	Restart     Reaction = "restart_on_corruption"
	Panic       Reaction = "panic_on_corruption"
)

// Verity is a dm-verity target: SHA-256, data and hash blocks of 4096 bytes,
// hash type 1.
type Verity struct {
	DataDevice     string // path of a block device
	HashDevice     string // path of a block device
	Blocks         uint64 // data blocks
	RootHash       []byte // 32 bytes
	Salt           []byte // may be empty
	HashStartBlock uint64 // where the tree starts on HashDevice; 0 means 1, after a superblock
	OnCorruption   Reaction
}

const (
	sectorsPerBlock = 4096 / 512
	mostBlocks      = 1 << 48 // so that no product overflows
)

// table is the target's line in device-mapper's table, without start, length
// and type.
func (v Verity) table() (string, error) {
	if len(v.RootHash) != 32 {
		return "", fmt.Errorf("root hash of %d bytes: want 32", len(v.RootHash))
	}
	if v.Blocks == 0 || v.Blocks > mostBlocks {
		return "", fmt.Errorf("%d data blocks: want 1 to %d", v.Blocks, uint64(mostBlocks))
	}
	for _, device := range []string{v.DataDevice, v.HashDevice} {
		if !isPath(device) {
			return "", fmt.Errorf("device %q: want an absolute path without blanks", device)
		}
	}
	salt := "-"
	if len(v.Salt) > 0 {
		salt = hex.EncodeToString(v.Salt)
	}
	line := []string{
		"1", v.DataDevice, v.HashDevice, "4096", "4096",
		strconv.FormatUint(v.Blocks, 10), strconv.FormatUint(max(v.HashStartBlock, 1), 10),
		"sha256", hex.EncodeToString(v.RootHash), salt,
	}
	if v.OnCorruption != ReportError {
		line = append(line, "1", string(v.OnCorruption))
	}
	return strings.Join(line, " "), nil
}

// lines is the target as device-mapper has it.
func (v Verity) lines() (target, error) {
	params, err := v.table()
	return target{length: v.Blocks * sectorsPerBlock, kind: "verity", params: params}, err
}

// CreateVerity makes a device and returns the path of its node, such as
// "/dev/dm-0". Nothing is left behind when it fails.
func CreateVerity(name string, v Verity) (path string, err error) {
	t, err := v.lines()
	if err == nil {
		path, err = create(name, t)
	}
	if err != nil {
		return "", fmt.Errorf("creating verity device %s: %w", name, err)
	}
	return path, nil
}

// CreateLinear makes a device of size bytes of another one, given by its path,
// that begin at byte start, and returns the path of its node. Both are whole sectors
// of that device; a CD's have 2048 bytes.
func CreateLinear(name, device string, start, size int64) (path string, err error) {
	const sector = 512
	t := target{length: uint64(size) / sector, kind: "linear", params: fmt.Sprintf("%s %d", device, start/sector)}
	switch {
	case start < 0 || size <= 0 || start%sector != 0 || size%sector != 0:
		err = fmt.Errorf("%d bytes at %d: want whole sectors", size, start)
	case !isPath(device):
		err = fmt.Errorf("device %q: want an absolute path without blanks", device)
	default:
		path, err = create(name, t)
	}
	if err != nil {
		return "", fmt.Errorf("creating linear device %s: %w", name, err)
	}
	return path, nil
}

func isPath(device string) bool {
	return strings.HasPrefix(device, "/") && !strings.ContainsAny(device, " \t\n\\\x00")
}

// create makes a device of one target.
func create(name string, t target) (path string, err error) {
	c, err := openControl()
	if err != nil {
		return "", err
	}
	defer c.close()
	created, err := c.run(unix.DM_DEV_CREATE, request{name: name, flags: unix.DM_READONLY_FLAG})
	if err != nil {
		return "", err
	}
	if err := c.load(name, t); err != nil {
		_, removeErr := c.run(unix.DM_DEV_REMOVE, request{name: name})
		return "", errors.Join(err, removeErr)
	}
	return nodePath(created.device), nil
}

// Replace gives an existing device a new table, also while it is in use. If it
// fails, the device keeps the old one.
func Replace(name string, v Verity) error {
	t, err := v.lines()
	if err != nil {
		return fmt.Errorf("replacing verity device %s: %w", name, err)
	}
	c, err := openControl()
	if err != nil {
		return fmt.Errorf("replacing verity device %s: %w", name, err)
	}
	defer c.close()
	if err := c.load(name, t); err != nil {
		return fmt.Errorf("replacing verity device %s: %w", name, err)
	}
	return nil
}

// load loads a table of one target and makes it the active one.
func (c *control) load(name string, t target) error {
	if _, err := c.run(unix.DM_TABLE_LOAD, request{name: name, flags: unix.DM_READONLY_FLAG, target: &t}); err != nil {
		return fmt.Errorf("loading table %q: %w", t.params, err)
	}
	// Without DM_SUSPEND_FLAG it means resume.
	if _, err := c.run(unix.DM_DEV_SUSPEND, request{name: name, flags: unix.DM_READONLY_FLAG}); err != nil {
		_, clearErr := c.run(unix.DM_TABLE_CLEAR, request{name: name})
		return errors.Join(fmt.Errorf("resuming: %w", err), clearErr)
	}
	return nil
}

// Remove removes a device that nothing has open.
func Remove(name string) error {
	c, err := openControl()
	if err != nil {
		return fmt.Errorf("removing device %s: %w", name, err)
	}
	defer c.close()
	if _, err := c.run(unix.DM_DEV_REMOVE, request{name: name}); err != nil {
		return fmt.Errorf("removing device %s: %w", name, err)
	}
	return nil
}

// State is what the kernel says about a verity device.
type State struct {
	Path     string // of its node
	Table    string // the active verity line, as CreateVerity wrote it but with device numbers for paths
	RootHash []byte // 32 bytes, from the table
	Corrupt  bool   // a block that did not match its hash has been read since the device was created
}

// Status looks at a device. It is an error if the device has anything but one
// verity target. errors.Is(err, unix.ENXIO) means that there is no such device.
func Status(name string) (State, error) {
	doing := "looking at device " + name
	c, err := openControl()
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", doing, err)
	}
	defer c.close()
	table, err := c.run(unix.DM_TABLE_STATUS, request{name: name, flags: unix.DM_STATUS_TABLE_FLAG})
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", doing, err)
	}
	status, err := c.run(unix.DM_TABLE_STATUS, request{name: name})
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", doing, err)
	}
	s, err := parseState(table, status)
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", doing, err)
	}
	return s, nil
}

func parseState(table, status answer) (State, error) {
	for _, a := range []answer{table, status} {
		if len(a.targets) != 1 || a.targets[0].kind != "verity" {
			return State{}, fmt.Errorf("targets %v: want one, verity", a.targets)
		}
	}
	s := State{Path: nodePath(table.device), Table: table.targets[0].params}
	words := strings.Fields(s.Table)
	if len(words) < 10 {
		return State{}, fmt.Errorf("verity table %q: want at least 10 words", s.Table)
	}
	var err error
	if s.RootHash, err = hex.DecodeString(words[8]); err != nil || len(s.RootHash) != 32 {
		return State{}, fmt.Errorf("root hash %q in the verity table: want 64 hex digits", words[8])
	}
	switch health := status.targets[0].params; strings.TrimSpace(health) {
	case "V":
	case "C":
		s.Corrupt = true
	default:
		return State{}, fmt.Errorf("verity status %q: want V or C", health)
	}
	return s, nil
}

func nodePath(device uint64) string { return fmt.Sprintf("/dev/dm-%d", unix.Minor(device)) }
