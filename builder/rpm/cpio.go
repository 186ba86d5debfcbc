package rpm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The magic numbers of the archive in a payload: cpio's "new ASCII" format
// (cpio(5)), the same with checksums, and RPM's own, whose entries are only
// the number of a file in the header.
const (
	magicNew      = "070701"
	magicChecksum = "070702"
	magicStripped = "07070X"

	trailer = "TRAILER!!!"
	newc    = 110 // bytes of a header
)

// member is the head of one entry of the archive.
type member struct {
	name  string // as the archive has it; of a stripped one it is empty
	index int    // of the file in the header, where the archive is stripped
	size  int64  // bytes; a stripped one leaves that to the header
}

func (m member) stripped() bool { return m.name == "" }

// archive reads a payload from the front. After next, whoever reads the
// contents reads all of them.
type archive struct {
	r *bufio.Reader
	n int64 // bytes read
}

func newArchive(r io.Reader) *archive { return &archive{r: bufio.NewReaderSize(r, 64<<10)} }

// Read implements io.Reader.
func (a *archive) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	a.n += int64(n)
	return n, err
}

// next is the next entry's head; io.EOF at the trailer.
func (a *archive) next() (member, error) {
	if err := a.pad(); err != nil {
		return member{}, err
	}
	var head [newc]byte
	if err := a.full(head[:6]); err != nil {
		return member{}, err
	}
	switch string(head[:6]) {
	case magicStripped:
		if err := a.full(head[6:14]); err != nil {
			return member{}, err
		}
		index, err := hexField(head[6:14])
		if err != nil {
			return member{}, err
		}
		return member{index: int(index)}, a.pad()
	case magicNew, magicChecksum:
		if err := a.full(head[6:]); err != nil {
			return member{}, err
		}
		return a.named(head[:])
	}
	return member{}, fmt.Errorf("it has %q where an entry of cpio starts: want %s or %s", head[:6], magicNew, magicStripped)
}

// named reads what follows an entry's head. Metadata in it is passed over.
func (a *archive) named(head []byte) (member, error) {
	size, err := hexField(head[6+6*8:][:8])
	if err != nil {
		return member{}, err
	}
	length, err := hexField(head[6+11*8:][:8])
	if err != nil {
		return member{}, err
	}
	const most = 4096 + 2 // PATH_MAX, "." and zero
	if length < 2 || length > most {
		return member{}, fmt.Errorf("it has a name of %d bytes: want 1 to %d", int64(length)-1, most-1)
	}
	name := make([]byte, length)
	if err := a.full(name); err != nil {
		return member{}, err
	}
	text, rest, _ := strings.Cut(string(name), "\x00")
	if rest != "" || name[length-1] != 0 || text == "" {
		return member{}, fmt.Errorf("it has the name %.200q: want one zero, at the end", name)
	}
	if text == trailer {
		return member{}, io.EOF
	}
	return member{name: text, size: int64(size)}, a.pad()
}

// hexField is a number of eight hexadecimal digits.
func hexField(field []byte) (uint32, error) {
	n, err := strconv.ParseUint(string(field), 16, 32)
	if err != nil || field[0] == '+' {
		return 0, fmt.Errorf("it has %q for a number: want 8 hexadecimal digits", field)
	}
	return uint32(n), nil
}

func (a *archive) full(p []byte) error {
	n, err := io.ReadFull(a.r, p)
	a.n += int64(n)
	return noEOF(err)
}

// pad reads up to the next multiple of four, where heads and contents start.
func (a *archive) pad() error {
	var padding [4]byte
	return a.full(padding[:(4-a.n%4)%4])
}

var errBehind = errors.New("there is something behind the end of the archive")

// drain reads to the end of the payload, so that the checksums of its
// compression are looked at. Only zeros may follow the trailer.
func (a *archive) drain() error {
	var buffer [4096]byte
	for {
		n, err := a.Read(buffer[:])
		if strings.Trim(string(buffer[:n]), "\x00") != "" {
			return errBehind
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
