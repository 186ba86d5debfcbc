package machine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"unicode/utf16"
)

// storeMost bounds the part of a variable store that has the variables, in bytes.
const storeMost = 16 << 20

// readStore reads the part of a file of OVMF's that has the variables, and tells
// where in the file it begins.
func readStore(file *os.File) (store []byte, start int, err error) {
	head := make([]byte, 4096)
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, 0, fmt.Errorf("variable store %s: %w", file.Name(), err)
	}
	start = int(binary.LittleEndian.Uint16(head[volumeLength:]))
	if string(head[40:44]) != "_FVH" || start+storeHeader > len(head) || string(head[start:start+16]) != authenticated {
		return nil, 0, fmt.Errorf("variable store %s: not one of OVMF's, with authenticated variables", file.Name())
	}
	size := binary.LittleEndian.Uint32(head[start+16:])
	if size < storeHeader || size > storeMost {
		return nil, 0, fmt.Errorf("variable store %s of %d bytes: want %d to %d", file.Name(), size, storeHeader, storeMost)
	}
	store = make([]byte, size)
	if _, err := file.ReadAt(store, int64(start)); err != nil {
		return nil, 0, fmt.Errorf("variable store %s: %w", file.Name(), err)
	}
	return store, start, nil
}

// Variable is the content of a variable that the firmware keeps, by its name alone;
// found is false when there is none. The machine may be running: what is being
// written at that moment is not there yet.
func (m *Machine) Variable(name string) (content []byte, found bool, err error) {
	file, err := os.Open(m.Variables())
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	store, _, err := readStore(file)
	if err != nil {
		return nil, false, err
	}
	content, found = findVariable(store, name)
	return content, found, nil
}

// findVariable looks through a store, to where its variables end.
func findVariable(store []byte, name string) (content []byte, found bool) {
	wanted := encodeName(name)
	for at := storeHeader; at+variableHeader <= len(store) && binary.LittleEndian.Uint16(store[at:]) == variableStart; {
		nameSize, size := int64(binary.LittleEndian.Uint32(store[at+36:])), int64(binary.LittleEndian.Uint32(store[at+40:]))
		from := int64(at) + variableHeader
		next := from + nameSize + size
		if next > int64(len(store)) {
			return nil, false
		}
		if store[at+2] == variableAdded && bytes.Equal(store[from:from+nameSize], wanted) {
			return bytes.Clone(store[from+nameSize : next]), true
		}
		at = (int(next) + 3) &^ 3
	}
	return nil, false
}

// encodeName is a variable's name as a store has it: UTF-16 with its NUL.
func encodeName(name string) []byte {
	var raw []byte
	for _, unit := range utf16.Encode([]rune(name + "\x00")) {
		raw = binary.LittleEndian.AppendUint16(raw, unit)
	}
	return raw
}
