package ukifile

import (
	"fmt"
	"io"
	"slices"
)

// Cuts is the offsets, in bytes and ascending, at which an image of size bytes
// is cut into its parts: headers, the contents of each section, and what lies
// between and behind them. The first is 0; the last, size, ends the last part. What a
// section has in two images is a part of both.
func Cuts(r io.ReaderAt, size int64) ([]int64, error) {
	all, err := sections(r, size)
	if err != nil {
		return nil, fmt.Errorf("unified kernel image: %w", err)
	}
	cuts := []int64{0, size}
	for _, s := range all {
		// What pads a section in the file differs with its neighbours.
		length := min(s.size, s.stored)
		if length == 0 {
			continue
		}
		if s.at > size || length > size-s.at {
			return nil, fmt.Errorf("unified kernel image: section %.8q of %d bytes at %d: want it inside of %d", s.name, length, s.at, size)
		}
		cuts = append(cuts, s.at, s.at+length)
	}
	slices.Sort(cuts)
	return slices.Compact(cuts), nil
}
