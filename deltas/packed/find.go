package packed

import "bytes"

// Find looks for streams in a file, or in the blocks of one: those that can be
// made again, or with old those that can be unpacked. What they decompress to is at
// most most bytes together; streams that would be more are not taken.
func Find(file []byte, old bool, most int) []Stream {
	start := gzipHeader(file)
	if start == 0 {
		return nil
	}
	kind := Gzip9
	const slowest, extraFlags = 2, 8
	if file[extraFlags] != slowest {
		kind = 6
	}
	unpacked, size, err := kind.unpack(nil, file[start:], most)
	if err != nil {
		return nil
	}
	if !old {
		if again, err := kind.pack(unpacked); err != nil || !bytes.Equal(again, file[start:start+size]) {
			return nil
		}
	}
	return []Stream{{Skip: start, Unpacked: len(unpacked), Kind: kind}}
}

// gzipHeader is the length of a header of gzip that may have a name (RFC 1952,
// section 2.3), or 0 when there is none.
func gzipHeader(file []byte) int {
	const fixed, deflate, name = 10, 8, 8
	if len(file) < fixed || file[0] != 0x1f || file[1] != 0x8b || file[2] != deflate {
		return 0
	}
	switch file[3] {
	case 0:
		return fixed
	case name:
		if n := bytes.IndexByte(file[fixed:], 0); n >= 0 {
			return fixed + n + 1
		}
	}
	return 0
}
