package ukifile

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Cuts is the offsets, in bytes and ascending, at which an image of size bytes
// is cut into its parts: headers, the contents of each section, and what lies
// between and behind them. The first is 0; the last, size, ends the last part. What a
// section has in two images is a part of both.
func Cuts(r io.ReaderAt, size int64) ([]int64, error) {
	headers, err := sections(r, size)
	if err != nil {
		return nil, fmt.Errorf("unified kernel image: %w", err)
	}
	cuts := []int64{0, size}
	for ; len(headers) > 0; headers = headers[sectionHeader:] {
		// What pads a section in the file differs with its neighbours.
		length := int64(min(binary.LittleEndian.Uint32(headers[8:]), binary.LittleEndian.Uint32(headers[16:])))
		at := int64(binary.LittleEndian.Uint32(headers[20:]))
		if length == 0 {
			continue
		}
		if at > size || length > size-at {
			return nil, fmt.Errorf("unified kernel image: section %.8q of %d bytes at %d: want it inside of %d", headers[:8], length, at, size)
		}
		cuts = append(cuts, at, at+length)
	}
	slices.Sort(cuts)
	return slices.Compact(cuts), nil
}
