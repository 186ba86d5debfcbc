package efivars

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/proa-os/proa/partitions"
)

// Active is the attribute of a load option that the boot manager tries (UEFI
// Specification 2.10, section 3.1.3).
const Active = 0x1

// LoadOption is the content of a Boot#### variable, EFI_LOAD_OPTION of the
// UEFI Specification 2.10, section 3.1.3.
type LoadOption struct {
	Attributes  uint32
	Description string
	Path        []Node // without the end node
	Optional    []byte // handed to the loader
}

// Node is one node of a device path (UEFI Specification 2.10, section 10.2).
// A path of several instances keeps the nodes that separate them.
type Node struct {
	Type, SubType byte
	Data          []byte // after the 4-byte header
}

const (
	typeMedia     = 0x04
	subHardDrive  = 0x01
	subFile       = 0x04
	typeEnd       = 0x7f
	subEndEntire  = 0xff
	subEndOne     = 0x01
	nodeHeader    = 4
	hardDriveSize = 38 // data of a hard drive node
	optionMost    = 16 << 10
)

// HardDrive is the device path node of a GPT partition (section 10.3.5.1).
type HardDrive struct {
	Number      uint32
	Start, Size uint64 // in sectors
	GUID        partitions.GUID
}

// HardDriveOf describes p on a disk of the given sector size.
func HardDriveOf(p partitions.Partition, sectorSize int64) HardDrive {
	return HardDrive{
		Number: uint32(p.Number),
		Start:  uint64(p.Start / sectorSize),
		Size:   uint64(p.Size / sectorSize),
		GUID:   p.GUID,
	}
}

// Node is h in a device path.
func (h HardDrive) Node() Node {
	const formatGPT, signatureGUID = 2, 2
	data := binary.LittleEndian.AppendUint32(make([]byte, 0, hardDriveSize), h.Number)
	data = binary.LittleEndian.AppendUint64(data, h.Start)
	data = binary.LittleEndian.AppendUint64(data, h.Size)
	guid := h.GUID.Disk()
	data = append(data, guid[:]...)
	return Node{typeMedia, subHardDrive, append(data, formatGPT, signatureGUID)}
}

// FileNode names a file in a device path (section 10.3.5.4); path has
// backslashes.
func FileNode(path string) Node { return Node{typeMedia, subFile, EncodeString(path)} }

// Loads reports whether o is active and boots the file at path, compared
// without regard to case, from the partition h: a short-form path of exactly
// the two nodes.
func (o LoadOption) Loads(h HardDrive, path string) bool {
	if o.Attributes&Active == 0 || len(o.Path) != 2 {
		return false
	}
	drive, file := o.Path[0], o.Path[1]
	if want := h.Node(); drive.Type != want.Type || drive.SubType != want.SubType || !bytes.Equal(drive.Data, want.Data) {
		return false
	}
	if file.Type != typeMedia || file.SubType != subFile {
		return false
	}
	name, err := DecodeString(file.Data)
	return err == nil && strings.EqualFold(name, path)
}

// Encode is the content of the option's variable.
func (o LoadOption) Encode() []byte {
	var path []byte
	for _, node := range append(slices.Clip(o.Path), Node{typeEnd, subEndEntire, nil}) {
		path = append(path, node.Type, node.SubType)
		path = binary.LittleEndian.AppendUint16(path, uint16(nodeHeader+len(node.Data)))
		path = append(path, node.Data...)
	}
	raw := binary.LittleEndian.AppendUint32(nil, o.Attributes)
	raw = binary.LittleEndian.AppendUint16(raw, uint16(len(path)))
	raw = append(raw, EncodeString(o.Description)...)
	raw = append(raw, path...)
	return append(raw, o.Optional...)
}

// ParseLoadOption reads the content of a Boot#### variable. Every length in it
// must fit exactly: what it accepts, Encode gives back byte for byte.
func ParseLoadOption(raw []byte) (LoadOption, error) {
	if len(raw) < 6 || len(raw) > optionMost {
		return LoadOption{}, fmt.Errorf("load option of %d bytes: want 6 to %d", len(raw), optionMost)
	}
	o := LoadOption{Attributes: binary.LittleEndian.Uint32(raw)}
	pathSize := int(binary.LittleEndian.Uint16(raw[4:]))
	rest := raw[6:]
	end := 0
	for {
		if len(rest) < end+2 {
			return LoadOption{}, errors.New("load option: description without an end")
		}
		if end += 2; rest[end-2] == 0 && rest[end-1] == 0 {
			break
		}
	}
	description, err := DecodeString(rest[:end])
	if err != nil {
		return LoadOption{}, fmt.Errorf("load option: description: %w", err)
	}
	o.Description, rest = description, rest[end:]
	if pathSize > len(rest) {
		return LoadOption{}, fmt.Errorf("load option: device path of %d bytes in %d", pathSize, len(rest))
	}
	if o.Path, err = parsePath(rest[:pathSize]); err != nil {
		return LoadOption{}, fmt.Errorf("load option: %w", err)
	}
	if pathSize < len(rest) {
		o.Optional = rest[pathSize:]
	}
	return o, nil
}

func parsePath(raw []byte) ([]Node, error) {
	var nodes []Node
	for {
		if len(raw) < nodeHeader {
			return nil, errors.New("device path without an end node")
		}
		size := int(binary.LittleEndian.Uint16(raw[2:]))
		if size < nodeHeader || size > len(raw) {
			return nil, fmt.Errorf("device path node of %d bytes in %d", size, len(raw))
		}
		node := Node{Type: raw[0], SubType: raw[1], Data: raw[nodeHeader:size]}
		raw = raw[size:]
		if node.Type == typeEnd && node.SubType == subEndEntire {
			if len(node.Data) != 0 || len(raw) != 0 {
				return nil, fmt.Errorf("device path goes on for %d bytes after its end node", len(node.Data)+len(raw))
			}
			return nodes, nil
		}
		if node.Type == typeEnd && node.SubType != subEndOne {
			return nil, fmt.Errorf("device path end node of kind %d", node.SubType)
		}
		nodes = append(nodes, node)
	}
}

// BootName is the variable of load option n, Boot0000 to BootFFFF.
func BootName(n uint16) Name { return Name{fmt.Sprintf("Boot%04X", n), VendorGlobal} }

var (
	bootOrder   = Name{"BootOrder", VendorGlobal}
	bootCurrent = Name{"BootCurrent", VendorGlobal}
)

// BootOrder is the load options that the firmware tries, in order; none when
// there is no such variable.
func (s Store) BootOrder() ([]uint16, error) { return s.readNumbers(bootOrder) }

// WriteBootOrder stores the order.
func (s Store) WriteBootOrder(order []uint16) error {
	var data []byte
	for _, n := range order {
		data = binary.LittleEndian.AppendUint16(data, n)
	}
	return s.Write(bootOrder, Variable{Attributes: Persistent, Data: data})
}

// BootCurrent is the load option that this boot came from; ok is false when
// the firmware does not say.
func (s Store) BootCurrent() (n uint16, ok bool, err error) {
	numbers, err := s.readNumbers(bootCurrent)
	if err != nil || len(numbers) != 1 {
		return 0, false, err
	}
	return numbers[0], true, nil
}

func (s Store) readNumbers(name Name) ([]uint16, error) {
	v, err := s.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(v.Data)%2 != 0 {
		return nil, fmt.Errorf("EFI variable %s: %d bytes: want numbers of 2 bytes", name.Name, len(v.Data))
	}
	numbers := make([]uint16, len(v.Data)/2)
	for i := range numbers {
		numbers[i] = binary.LittleEndian.Uint16(v.Data[2*i:])
	}
	return numbers, nil
}
