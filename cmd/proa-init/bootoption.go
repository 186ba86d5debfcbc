package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// pciFunction is a PCI device's place on its bus: the device's number and the
// function's. Bus numbers are left out, since firmware and kernel each give their
// own.
type pciFunction struct{ device, function byte }

// Nodes of a device path (UEFI Specification 2.10, sections 10.3.2.1 and 10.3.5).
const (
	nodeHeader   = 4 // bytes: type, sub-type, length of the node with its header
	typeHardware = 0x01
	subPCI       = 0x01
	typeEnd      = 0x7f
)

// optionPath reads which PCI functions a boot option, EFI_LOAD_OPTION of the
// UEFI Specification 2.10, section 3.1.3, leads over, from the root on. One that
// begins with the partition, as systems and we write them, leads over none.
func optionPath(option []byte) ([]pciFunction, error) {
	const fixed = 4 + 2 // attributes, length of the path
	if len(option) < fixed {
		return nil, fmt.Errorf("boot option of %d bytes: want at least %d", len(option), fixed)
	}
	length := int(binary.LittleEndian.Uint16(option[4:]))
	rest := option[fixed:]
	for { // the description
		if len(rest) < 2 {
			return nil, errors.New("boot option: its description has no end")
		}
		end := rest[0] == 0 && rest[1] == 0
		if rest = rest[2:]; end {
			break
		}
	}
	if length > len(rest) {
		return nil, fmt.Errorf("boot option: device path of %d bytes in %d", length, len(rest))
	}
	var functions []pciFunction
	for path := rest[:length]; len(path) >= nodeHeader && path[0] != typeEnd; {
		size := int(binary.LittleEndian.Uint16(path[2:]))
		if size < nodeHeader || size > len(path) {
			return nil, fmt.Errorf("boot option: node of %d bytes in %d", size, len(path))
		}
		if path[0] == typeHardware && path[1] == subPCI && size == nodeHeader+2 {
			functions = append(functions, pciFunction{device: path[5], function: path[4]})
		}
		path = path[size:]
	}
	return functions, nil
}
