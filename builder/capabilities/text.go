package capabilities

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// The extended attribute of capabilities: struct vfs_ns_cap_data of Linux's
// include/uapi/linux/capability.h, numbers little-endian.
const (
	revisionMask = 0xff000000
	revision1    = 0x01000000
	revision2    = 0x02000000
	revision3    = 0x03000000 // as 2, and the user id of the namespace's root
	effectiveBit = 0x000001
)

// Text is the value of the extended attribute as getcap(8) writes
// it, with the sets sorted by their flags.
func Text(value string) string {
	data := []byte(value)
	sets, ok := map[uint32]int{revision1: 1, revision2: 2, revision3: 2}[revision(data)]
	if !ok || len(data) < 4+8*sets {
		return fmt.Sprintf("unreadable %x", value)
	}
	byFlags := map[string][]string{}
	for number := range 32 * sets {
		at, bit := 4+number/32*8, uint32(1)<<(number%32)
		flags := ""
		permitted := binary.LittleEndian.Uint32(data[at:])&bit != 0
		inheritable := binary.LittleEndian.Uint32(data[at+4:])&bit != 0
		if binary.LittleEndian.Uint32(data)&effectiveBit != 0 && (permitted || inheritable) {
			flags += "e"
		}
		if inheritable {
			flags += "i"
		}
		if permitted {
			flags += "p"
		}
		if flags != "" {
			byFlags[flags] = append(byFlags[flags], nameOf(number))
		}
	}
	var parts []string
	for flags, some := range byFlags {
		parts = append(parts, strings.Join(some, ",")+"="+flags)
	}
	slices.Sort(parts)
	text := strings.Join(parts, " ")
	if revision(data) == revision3 && len(data) >= 24 {
		text += fmt.Sprintf(" [rootid=%d]", binary.LittleEndian.Uint32(data[20:]))
	}
	return text
}

func revision(data []byte) uint32 {
	if len(data) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(data) & revisionMask
}

func nameOf(number int) string {
	if number < len(names) {
		return names[number]
	}
	return fmt.Sprintf("cap_%d", number)
}
