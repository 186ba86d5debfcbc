package seed

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// copyXattrs copies the extended attributes, without following a link.
func copyXattrs(target, source string) error {
	names, err := readXattr(func(b []byte) (int, error) { return unix.Llistxattr(source, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing attributes of %s: %w", source, err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value, err := readXattr(func(b []byte) (int, error) { return unix.Lgetxattr(source, name, b) })
		if err != nil {
			return fmt.Errorf("reading attribute %s of %s: %w", name, source, err)
		}
		if err := unix.Lsetxattr(target, name, value, 0); err != nil {
			return fmt.Errorf("setting attribute %s of %s: %w", name, target, err)
		}
	}
	return nil
}

// readXattr calls read for the size, then for the bytes.
func readXattr(read func([]byte) (int, error)) ([]byte, error) {
	size, err := read(nil)
	if err != nil || size == 0 {
		return nil, err
	}
	b := make([]byte, size)
	n, err := read(b)
	if err != nil {
		return nil, err
	}
	return b[:n], nil
}
