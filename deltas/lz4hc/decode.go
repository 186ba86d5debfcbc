package lz4hc

import (
	"encoding/binary"
	"errors"
)

var errBlock = errors.New("not a block of LZ4")

// Decompress appends what block decompresses to, at most most bytes.
func Decompress(dst, block []byte, most int) ([]byte, error) {
	start, end := len(dst), len(dst)+most
	length := func(n int) (int, bool) {
		for n >= 15 {
			if len(block) == 0 || n > most+15 {
				return 0, false
			}
			c := block[0]
			block = block[1:]
			n += int(c)
			if c != 255 {
				break
			}
		}
		return n, true
	}
	for len(block) > 0 {
		token := int(block[0])
		block = block[1:]
		n, ok := length(token >> 4)
		if !ok || n > len(block) || n > end-len(dst) {
			return dst, errBlock
		}
		dst, block = append(dst, block[:n]...), block[n:]
		if len(block) == 0 {
			return dst, nil
		}
		if len(block) < 2 {
			break
		}
		distance := int(binary.LittleEndian.Uint16(block))
		block = block[2:]
		n, ok = length(token & 15)
		n += minMatch
		if !ok || distance == 0 || distance > len(dst)-start || n > end-len(dst) {
			return dst, errBlock
		}
		for n > 0 {
			m := min(n, distance)
			dst = append(dst, dst[len(dst)-distance:][:m]...)
			n -= m
		}
	}
	return dst, errBlock
}
