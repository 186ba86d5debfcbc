package packed

import (
	"bytes"
	"encoding/binary"
)

// Find looks for a stream in a file, or in a part of one that has the bytes before in
// front of it: one that can be made again, or with old one that can be unpacked. What
// it decompresses to is at most most bytes.
func Find(before, file []byte, old bool, most int) (Stream, bool) {
	if start := gzipHeader(file); start != 0 && len(before) == 0 {
		kind := Gzip9
		const slowest, extraFlags = 2, 8
		if file[extraFlags] != slowest {
			kind = 6
		}
		return kind.at(file, start, old, most)
	}
	all := append(bytes.Clone(before), file...)
	for _, start := range lz4Starts(all) {
		if s, ok := LZ4.at(all, start, old, most); ok {
			s.Skip, s.Lost = max(start-len(before), 0), max(len(before)-start, 0)
			return s, true
		}
	}
	return Stream{}, false
}

// at is the stream of kind k that starts there, if there is one.
func (k Kind) at(data []byte, start int, old bool, most int) (Stream, bool) {
	unpacked, size, err := k.unpack(nil, data[start:], most)
	if err != nil {
		return Stream{}, false
	}
	if !old {
		if again, err := k.pack(nil, unpacked); err != nil || !bytes.Equal(again, data[start:start+size]) {
			return Stream{}, false
		}
	}
	return Stream{Skip: start, Unpacked: len(unpacked), Kind: k}, true
}

// lz4Starts is where a block of LZ4 may start: behind the magic number of a frame, or,
// in a later part of one, somewhere in the first 4096 bytes.
func lz4Starts(data []byte) []int {
	const leastBlock, within = 4096, 4096
	var starts []int
	for at := range min(within, len(data)-lz4Size) {
		if n := int64(binary.LittleEndian.Uint32(data[at:])); n >= leastBlock && n <= int64(len(data)-at-lz4Size) {
			starts = append(starts, at)
		}
	}
	if at := lz4Frame(data); at > 0 {
		starts = append(starts, at)
	}
	return starts
}

// lz4Frame is where the first block of a legacy frame of LZ4 starts that begins in the
// first 128 KiB of data, as it does in a kernel image, or 0.
func lz4Frame(data []byte) int {
	const within = 128 << 10
	magic := []byte{0x02, 0x21, 0x4c, 0x18}
	if at := bytes.Index(data[:min(len(data), within)], magic); at >= 0 {
		return at + len(magic)
	}
	return 0
}

// Parts is where the streams of a kernel image end, or nothing when it has none of
// LZ4. Each of them is to be in a part of its own, with no more behind it than the
// block of the disk has.
func Parts(image []byte) []int {
	var ends []int
	for at := lz4Frame(image); at > 0 && at+lz4Size <= len(image); {
		size := int64(binary.LittleEndian.Uint32(image[at:]))
		if size == 0 || size > int64(len(image)-at-lz4Size) {
			break
		}
		at += lz4Size + int(size)
		ends = append(ends, at)
	}
	return ends
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
