package filemap

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-os/proa/manifests"
)

const (
	// BytesMost bounds the bytes of a root.map, and so the memory of who reads it.
	BytesMost = 512 << 20

	header = "proa root map 1\n"

	imageMost  = int64(math.MaxUint32) * manifests.BlockSize // bytes: blocks have 32-bit numbers
	numberMost = int64(math.MaxUint32) * slotsPerBlock
	pathMost   = 4095 // PATH_MAX without its end
	slotsMost  = 1 << 12

	slotsPerBlock = manifests.BlockSize / 32
)

// Append appends the layout as ParseLayout reads it. It must be in order.
func (l Layout) Append(to []byte) []byte {
	to = append(to, header...)
	for _, n := range l {
		for _, v := range []int64{n.Offset / manifests.BlockSize, n.Size, n.Number, int64(n.Slots)} {
			to = append(strconv.AppendInt(to, v, 10), ' ')
		}
		to = append(appendPath(to, n.Path), '\n')
	}
	return to
}

// ParseLayout reads a root.map strictly: what Append would have written
// otherwise, extents or inodes that overlap or are out of order, and paths that
// are not clean or not unique are errors.
func ParseLayout(data []byte) (Layout, error) {
	if len(data) > BytesMost {
		return nil, fmt.Errorf("root map: %d bytes: want at most %d", len(data), BytesMost)
	}
	text, ok := strings.CutPrefix(string(data), header)
	if !ok {
		return nil, errors.New("root map: does not begin as one")
	}
	layout := make(Layout, 0, strings.Count(text, "\n"))
	for len(text) > 0 {
		line, rest, ended := strings.Cut(text, "\n")
		n, err := parseLine(line)
		if err == nil && !ended {
			err = errors.New("ends in the middle")
		}
		if err == nil && len(layout) > 0 {
			err = n.follows(layout[len(layout)-1])
		}
		if err != nil {
			return nil, fmt.Errorf("root map: line %d: %w", len(layout)+2, err)
		}
		layout, text = append(layout, n), rest
	}
	if err := layout.check(); err != nil {
		return nil, fmt.Errorf("root map: %w", err)
	}
	return layout, nil
}

func parseLine(line string) (Node, error) {
	var values [4]int64
	for i := range values {
		word, rest, _ := strings.Cut(line, " ")
		v, err := strconv.ParseInt(word, 10, 64)
		if err != nil || v < 0 || strconv.FormatInt(v, 10) != word {
			return Node{}, fmt.Errorf("%.40q: want a number", word)
		}
		values[i], line = v, rest
	}
	path, err := parsePath(line)
	if err != nil {
		return Node{}, err
	}
	block, size, number, slots := values[0], values[1], values[2], values[3]
	switch {
	case (block == 0) != (size == 0):
		return Node{}, fmt.Errorf("%d bytes at block %d: want blocks where there are bytes", size, block)
	case block > math.MaxUint32 || size > imageMost-block*manifests.BlockSize:
		return Node{}, fmt.Errorf("%d bytes at block %d: want less than %d bytes of image", size, block, imageMost)
	case (number == 0) != (slots == 0) || number == 0 && size == 0:
		return Node{}, fmt.Errorf("inode %d of %d slots: want both, or neither and blocks", number, slots)
	case slots > slotsMost || number > numberMost:
		return Node{}, fmt.Errorf("inode %d of %d slots: want at most %d of %d", number, slots, numberMost, slotsMost)
	}
	return Node{Extent: Extent{Offset: block * manifests.BlockSize, Size: size, Path: path}, Number: number, Slots: int(slots)}, nil
}

// end is the first byte behind the extent's blocks.
func (e Extent) end() int64 {
	return e.Offset + (e.Size+manifests.BlockSize-1)/manifests.BlockSize*manifests.BlockSize
}

// follows reports how n cannot be the next one after last.
func (n Node) follows(last Node) error {
	switch {
	case n.Size > 0 && last.Size == 0:
		return fmt.Errorf("blocks of %.200q after an inode without: want them first", n.Path)
	case n.Size > 0 && n.Offset < last.end():
		return fmt.Errorf("%.200q at byte %d, before the end of what precedes it, %d", n.Path, n.Offset, last.end())
	case n.Size == 0 && last.Size == 0 && n.Number < last.Number+int64(last.Slots):
		return fmt.Errorf("%.200q is inode %d, before the end of what precedes it, %d", n.Path, n.Number, last.Number+int64(last.Slots))
	}
	return nil
}

// check looks at what the order of lines does not show.
func (l Layout) check() error {
	paths := make(map[string]bool, len(l))
	numbered := make([]int, 0, len(l))
	for i, n := range l {
		if paths[n.Path] {
			return fmt.Errorf("%.200q is there twice", n.Path)
		}
		paths[n.Path] = true
		if n.Number > 0 {
			numbered = append(numbered, i)
		}
	}
	slices.SortFunc(numbered, func(a, b int) int { return int(l[a].Number - l[b].Number) })
	for k := 1; k < len(numbered); k++ {
		a, b := l[numbered[k-1]], l[numbered[k]]
		if a.Number+int64(a.Slots) > b.Number {
			return fmt.Errorf("inodes %d of %.200q and %d of %.200q overlap", a.Number, a.Path, b.Number, b.Path)
		}
	}
	return nil
}

// appendPath writes control bytes and backslashes as \x and two digits.
func appendPath(to []byte, path string) []byte {
	for i := range len(path) {
		if b := path[i]; quoted(b) {
			to = fmt.Appendf(to, `\x%02x`, b)
		} else {
			to = append(to, b)
		}
	}
	return to
}

func quoted(b byte) bool { return b < 0x20 || b == 0x7f || b == '\\' }

func parsePath(text string) (string, error) {
	path := text
	if strings.IndexByte(text, '\\') >= 0 {
		var plain []byte
		for rest := text; ; {
			before, after, found := strings.Cut(rest, `\`)
			plain = append(plain, before...)
			if !found {
				break
			}
			if len(after) < 3 || after[0] != 'x' {
				return "", fmt.Errorf("path %.200q: want \\x and two digits", text)
			}
			b, err := strconv.ParseUint(after[1:3], 16, 8)
			if err != nil {
				return "", fmt.Errorf("path %.200q: want \\x and two digits", text)
			}
			plain, rest = append(plain, byte(b)), after[3:]
		}
		path = string(plain)
	}
	if string(appendPath(nil, path)) != text {
		return "", fmt.Errorf("path %.200q: want control bytes and backslashes quoted, and nothing else", text)
	}
	if len(path) > pathMost || strings.IndexByte(path, 0) >= 0 {
		return "", fmt.Errorf("path %.200q: want at most %d bytes, none of them 0", path, pathMost)
	}
	if path == "." {
		return path, nil
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("path %.200q: want it clean, without a leading slash", path)
		}
	}
	return path, nil
}
