package initrd

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Archive is a cpio archive in the kernel's "newc" format (Documentation/
// driver-api/early-userspace/buffer-format.rst): everything owned by root, no
// times, sorted by name. Names are relative to the root of the initrd; whoever
// adds a file adds its folders.
type Archive struct{ members []member }

type member struct {
	name    string
	mode    uint32 // with the file type
	content io.Reader
	size    int64
}

const (
	typeDirectory = 0o040000
	typeFile      = 0o100000
	typeLink      = 0o120000
)

// Folder adds a folder.
func (a *Archive) Folder(name string) {
	a.members = append(a.members, member{name: name, mode: typeDirectory | 0o755})
}

// File adds a file.
func (a *Archive) File(name string, mode uint32, content []byte) {
	a.Stream(name, mode, bytes.NewReader(content), int64(len(content)))
}

// Stream adds a file of size bytes, which are read when the archive is written.
func (a *Archive) Stream(name string, mode uint32, content io.Reader, size int64) {
	a.members = append(a.members, member{name, typeFile | mode, content, size})
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	a.members = append(a.members, member{name, typeLink | 0o777, bytes.NewReader([]byte(target)), int64(len(target))})
}

// Write writes the whole archive, once. Sorted as bytes, a folder comes before
// what is in it, as the kernel wants.
func (a *Archive) Write(to io.Writer) error {
	slices.SortFunc(a.members, func(m, n member) int { return cmp.Compare(m.name, n.name) })
	out := &counter{w: bufio.NewWriter(to)}
	for i, m := range a.members {
		if err := out.member(i+1, m); err != nil {
			return fmt.Errorf("packing %s: %w", m.name, err)
		}
	}
	if err := out.member(0, member{name: "TRAILER!!!"}); err != nil {
		return err
	}
	return out.w.Flush()
}

// counter counts what is written, for the padding.
type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) member(inode int, m member) error {
	if m.size > math.MaxUint32 {
		return errors.New("the archive takes files of less than 4 GiB")
	}
	links := 1
	if m.mode&typeDirectory != 0 {
		links = 2
	}
	io.WriteString(c, "070701")
	for _, field := range []int64{
		int64(inode), int64(m.mode), 0, 0, int64(links), 0, // owner, group; modification time
		m.size, 0, 0, 0, 0, // device numbers
		int64(len(m.name)) + 1, 0, // checksum, unused
	} {
		fmt.Fprintf(c, "%08X", field)
	}
	io.WriteString(c, m.name+"\x00")
	c.pad()
	if m.content != nil {
		n, err := io.Copy(c, io.LimitReader(m.content, m.size))
		if err == nil && n < m.size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return c.pad()
}

// pad fills up to a multiple of 4, from the start of the archive. Its error is
// that of any write before it, too.
func (c *counter) pad() error {
	_, err := c.Write(make([]byte, -c.n&3))
	return err
}
