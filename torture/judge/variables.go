package judge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// Variables are what the boot loader reads of the firmware's variables; "" is
// for one that is not there.
type Variables struct {
	OneShot string // LoaderEntryOneShot
	Default string // LoaderEntryDefault
}

// The GUIDs as they are stored: of a volume of variables, of a store with
// authenticated variables (EDK II, MdeModulePkg/Include/Guid/VariableFormat.h
// and SystemNvDataGuid.h), and of the Boot Loader Interface.
const (
	volumeGUID = "\x8d\x2b\xf1\xff\x96\x76\x8b\x4c\xa9\x85\x27\x47\x07\x5b\x4f\x50"
	storeGUID  = "\x78\x2c\xf3\xaa\x7b\x94\x9a\x43\xa1\x80\x2e\x14\x4e\xc3\x77\x92"
	loaderGUID = "\x82\xb0\x67\x4a\x4c\x0a\xcf\x41\xb6\xc7\x44\x0b\x29\xbb\x8c\x4f"
)

const (
	stateAdded    = 0x3f // the header and the data are whole
	stateDeleting = 0x3e // being replaced: counts until its successor is added
	headerSize    = 60   // of an authenticated variable
)

// ReadVariables reads the variable store of OVMF. It takes the first volume, as
// firmware does that was not cut while it moved the store.
func ReadVariables(store []byte) (Variables, error) {
	if len(store) < 0x48 || string(store[16:32]) != volumeGUID || string(store[40:44]) != "_FVH" {
		return Variables{}, errors.New("variable store: not a volume of variables")
	}
	at := int(binary.LittleEndian.Uint16(store[48:]))
	if at+28 > len(store) || string(store[at:at+16]) != storeGUID {
		return Variables{}, errors.New("variable store: not one of authenticated variables")
	}
	size := int64(binary.LittleEndian.Uint32(store[at+16:]))
	if size > int64(len(store)-at) || size < 28 {
		return Variables{}, fmt.Errorf("variable store: %d bytes from %d of %d", size, at, len(store))
	}
	store = store[at : at+int(size)]
	var v Variables
	deleting := map[*string]string{}
	for at := 28; at+headerSize <= len(store) && binary.LittleEndian.Uint16(store[at:]) == 0x55aa; {
		header := store[at : at+headerSize]
		nameSize, dataSize := int64(binary.LittleEndian.Uint32(header[36:])), int64(binary.LittleEndian.Uint32(header[40:]))
		end := int64(at) + headerSize + nameSize + dataSize
		if state := header[2]; state&0x80 != 0 || nameSize > int64(len(store)) || end > int64(len(store)) {
			break // the header was not whole when the power went
		}
		name := text(store[at+headerSize : at+headerSize+int(nameSize)])
		data := store[at+headerSize+int(nameSize) : end]
		if string(header[44:60]) == loaderGUID {
			var into *string
			switch name {
			case "LoaderEntryOneShot":
				into = &v.OneShot
			case "LoaderEntryDefault":
				into = &v.Default
			}
			switch {
			case into != nil && header[2] == stateAdded:
				*into = text(data)
			case into != nil && header[2] == stateDeleting:
				deleting[into] = text(data)
			}
		}
		at = int((end + 3) &^ 3)
	}
	for into, old := range deleting {
		if *into == "" {
			*into = old
		}
	}
	return v, nil
}

// text reads UTF-16 up to a zero.
func text(raw []byte) string {
	var units []uint16
	for at := 0; at+1 < len(raw); at += 2 {
		u := binary.LittleEndian.Uint16(raw[at:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
