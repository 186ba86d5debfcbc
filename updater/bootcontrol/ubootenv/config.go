package ubootenv

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// sizeMost bounds an environment; boards have 8 KiB to 256 KiB.
const sizeMost = 1 << 20

// offsetMost is far behind the end of any disk, and far from overflows.
const offsetMost = 1 << 50

// Location is where a copy of the environment is.
type Location struct {
	Path   string // a block device or a file of the host
	Offset int64  // in bytes; a negative one counts from the end
	Size   int64  // in bytes, with the header
}

// Config is the places of an environment: one, or two for a redundant one.
type Config []Location

// ParseConfig reads the lines of an fw_env.config: device or file, offset, size,
// and for flash two more columns, the sector size and the number of sectors,
// which are passed over here. "#" begins a comment. Offsets are as in C, sizes
// are hexadecimal with or without 0x.
//
// It refuses raw flash (MTD and UBI), which has to be erased to be written.
func ParseConfig(text []byte) (Config, error) {
	var c Config
	for number, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		l, err := parseLocation(fields)
		if err != nil {
			return nil, fmt.Errorf("fw_env.config line %d: %w", number+1, err)
		}
		c = append(c, l)
	}
	switch len(c) {
	case 1:
		return c, nil
	case 2:
		return c, c.checkPair()
	}
	return nil, fmt.Errorf("fw_env.config names %d places: want one, or two for a redundant environment", len(c))
}

func parseLocation(fields []string) (l Location, err error) {
	if len(fields) < 3 || len(fields) > 5 {
		return l, fmt.Errorf("%d columns: want device, offset and size, and sector size and number of sectors where the device has them", len(fields))
	}
	if l.Path = fields[0]; !filepath.IsAbs(l.Path) {
		return l, fmt.Errorf("device %.80q: want an absolute path", l.Path)
	}
	for _, flash := range []string{"/dev/mtd", "/dev/ubi"} {
		if strings.HasPrefix(filepath.Clean(l.Path), flash) {
			return l, fmt.Errorf("device %.80s is raw flash: want a block device or a file", l.Path)
		}
	}
	if l.Offset, err = strconv.ParseInt(fields[1], 0, 64); err != nil || max(l.Offset, -l.Offset) > offsetMost {
		return l, fmt.Errorf("offset %.40q: want a number of bytes, hexadecimal behind 0x", fields[1])
	}
	digits := strings.TrimPrefix(strings.ToLower(fields[2]), "0x")
	if l.Size, err = strconv.ParseInt(digits, 16, 64); err != nil || l.Size < headerRedundant+2 || l.Size > sizeMost {
		return l, fmt.Errorf("size %.40q: want a hexadecimal number from %#x to %#x", fields[2], headerRedundant+2, sizeMost)
	}
	return l, nil
}

// checkPair refuses two copies that would be one.
func (c Config) checkPair() error {
	a, b := c[0], c[1]
	if a.Size != b.Size {
		return fmt.Errorf("fw_env.config: the copies have %#x and %#x bytes: want the same", a.Size, b.Size)
	}
	// Places that count from different ends are seen to be apart when they are opened.
	apart := a.Offset >= b.Offset+b.Size || b.Offset >= a.Offset+a.Size
	if filepath.Clean(a.Path) == filepath.Clean(b.Path) && !apart {
		return fmt.Errorf("fw_env.config: the copies at %#x and %#x of %s overlap", a.Offset, b.Offset, a.Path)
	}
	return nil
}
