package coding

import "encoding/binary"

// Rebase rewrites, in a copy of x86-64 code, the operands that say how far
// something is from the code: of calls and jumps with 32 bits, and of what
// addresses memory relative to the instruction (Intel SDM volume 2, chapter 2:
// ModRM with mod 0 and r/m 5). What is not an instruction may look like one; the
// operand must then lie within the file by accident, and is corrected like
// anything else. code was at offset from of the old file and moved by the given
// distance; there says how far an offset of the old file moved.
func rebase(code []byte, from int, moved int32, there func(int) (int32, bool)) {
	for i := 0; i+6 <= len(code); i++ {
		operand := i + 1
		switch b := code[i]; {
		case b == 0xe8 || b == 0xe9: // call, jmp
		case b == 0x0f && code[i+1]&0xf0 == 0x80: // jcc
			operand++
		case b&0xc7 == 0x05 && i > 0 && addresses(code, i-1):
		default:
			continue
		}
		distance := int32(binary.LittleEndian.Uint32(code[operand:]))
		by, inside := there(from + operand + 4 + int(distance))
		if !inside {
			continue
		}
		binary.LittleEndian.PutUint32(code[operand:], uint32(distance+by-moved))
		i = operand + 3
	}
}

// addresses tells whether the byte at i of code is an operation that often has a
// ModRM byte behind it.
func addresses(code []byte, i int) bool {
	switch code[i] {
	case 0x8d, 0x8b, 0x89, 0x03, 0x2b, 0x33, 0x39, 0x3b, 0x63, 0x80, 0x83, 0x85, 0xc6, 0xc7, 0xff, 0x88, 0x8a, 0x38, 0x3a, 0x01, 0x29, 0x23, 0x0b:
		return true
	case 0x10, 0x11, 0x28, 0x6f, 0x7f, 0xb6, 0xb7, 0xbe, 0xbf, 0x6e, 0x7e, 0xd6, 0x58, 0x59, 0x5c, 0x5e, 0x2e, 0x54, 0x57, 0xef, 0xb1, 0xc1, 0x16, 0x12:
		return i > 0 && code[i-1] == 0x0f
	}
	return false
}
