package stick

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/proa-os/proa/regular"
)

// A tar file is read as POSIX 1003.1-1988 (ustar) has it, with what GNU tar adds
// for long names and large files; folders are passed over. Anything else that an
// archive can hold, such as links, is refused.
const (
	blockSize   = 512
	entriesMost = 100_000
	nameMost    = 1024    // bytes
	namesMost   = 8 << 20 // bytes of all names
)

// entry is where a file lies in a tar file, in bytes.
type entry struct{ offset, size int64 }

func (s *Stick) openTar() error {
	file, info, err := regular.Open(s.path)
	if err != nil {
		return err
	}
	s.file = file
	if s.entries, err = index(file, info.Size()); err != nil {
		file.Close()
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return nil
}

// index reads the headers of a tar file of size bytes.
func index(in io.ReaderAt, size int64) (map[string]entry, error) {
	entries, names := map[string]entry{}, 0
	long := "" // the name of the next entry, where its own field is too short
	for at, count := int64(0), 0; ; count++ {
		if count == entriesMost {
			return nil, fmt.Errorf("tar file with more than %d entries", entriesMost)
		}
		var block [blockSize]byte
		if _, err := in.ReadAt(block[:], at); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("tar file of %d bytes has no end: was it copied in full?", size)
			}
			return nil, err
		}
		if block == [blockSize]byte{} {
			return entries, nil
		}
		h, err := parseHeader(&block)
		if err != nil {
			return nil, fmt.Errorf("tar file, at byte %d: %w", at, err)
		}
		at += blockSize
		if h.size > size-at {
			return nil, fmt.Errorf("tar file of %d bytes: %.100q has %d bytes at %d: was it copied in full?", size, h.name, h.size, at)
		}
		if long != "" {
			h.name, long = long, ""
		}
		switch h.kind {
		case 'L':
			if long, err = readName(in, at, h.size); err != nil {
				return nil, err
			}
		case '5':
			if h.size != 0 {
				return nil, fmt.Errorf("tar file: folder %.100q has %d bytes", h.name, h.size)
			}
		case '0', 0:
			name, err := cleanName(h.name)
			if err != nil {
				return nil, err
			}
			if _, twice := entries[name]; twice {
				return nil, fmt.Errorf("tar file: %.100q is there twice", name)
			}
			if names += len(name); names > namesMost {
				return nil, fmt.Errorf("tar file: names of more than %d bytes", namesMost)
			}
			entries[name] = entry{at, h.size}
		default:
			return nil, fmt.Errorf("tar file: %.100q is of type %q: want nothing but files and folders", h.name, h.kind)
		}
		at += (h.size + blockSize - 1) / blockSize * blockSize
	}
}

type header struct {
	name string
	size int64
	kind byte
}

// parseHeader reads one header: fields at fixed places, numbers in octal digits.
func parseHeader(block *[blockSize]byte) (header, error) {
	sum := int64(8 * ' ') // the sum's own field counts as spaces
	for i, b := range block {
		if i < 148 || i >= 156 {
			sum += int64(b)
		}
	}
	if want, err := number(block[148:156]); err != nil || want != sum {
		return header{}, errors.New("want a header with its checksum")
	}
	size, err := number(block[124:136])
	if err != nil {
		return header{}, fmt.Errorf("size: %w", err)
	}
	h := header{name: text(block[:100]), size: size, kind: block[156]}
	switch magic := string(block[257:265]); magic {
	case "ustar\x0000":
		if prefix := text(block[345:500]); prefix != "" {
			h.name = prefix + "/" + h.name
		}
	case "ustar  \x00": // GNU, which has other things where the prefix is
	default:
		return header{}, fmt.Errorf("magic %q: want ustar", magic)
	}
	return h, nil
}

func text(field []byte) string {
	before, _, _ := bytes.Cut(field, []byte{0})
	return string(before)
}

// number is octal digits, or, as GNU tar writes what is too large for them, 0x80
// and a big-endian number.
func number(field []byte) (int64, error) {
	if field[0] == 0x80 && len(field) >= 9 {
		value := binary.BigEndian.Uint64(field[len(field)-8:])
		for _, b := range field[1 : len(field)-8] {
			if b != 0 {
				value = 1 << 63
			}
		}
		if value >= 1<<62 {
			return 0, errors.New("number over 2^62")
		}
		return int64(value), nil
	}
	digits := strings.Trim(text(field), " ")
	n, err := strconv.ParseUint(digits, 8, 62)
	if err != nil {
		return 0, fmt.Errorf("number %q: want octal digits", digits)
	}
	return int64(n), nil
}

func readName(in io.ReaderAt, at, size int64) (string, error) {
	if size < 2 || size > nameMost {
		return "", fmt.Errorf("tar file: name of %d bytes: want at most %d", size, nameMost)
	}
	name := make([]byte, size)
	if _, err := in.ReadAt(name, at); err != nil {
		return "", err
	}
	return text(name), nil
}

func cleanName(name string) (string, error) {
	clean := strings.TrimPrefix(name, "./")
	if !fs.ValidPath(clean) || clean == "." {
		return "", fmt.Errorf("tar file: name %.100q: want one that leads into the archive, without . and ..", name)
	}
	return clean, nil
}
