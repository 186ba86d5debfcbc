package initrd

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// archive is a cpio archive in the kernel's "newc" format (Documentation/
// driver-api/early-userspace/buffer-format.rst): everything owned by root, no
// times, sorted by name.
type archive struct{ members []member }

type member struct {
	name    string
	mode    uint32 // with the file type
	content []byte
}

const (
	typeDirectory = 0o040000
	typeFile      = 0o100000
)

func newArchive() *archive { return &archive{} }

func (a *archive) dir(name string) {
	a.members = append(a.members, member{name: name, mode: typeDirectory | 0o755})
}

func (a *archive) file(name string, mode uint32, content []byte) {
	a.members = append(a.members, member{name: name, mode: typeFile | mode, content: content})
}

// bytes is the whole archive. Sorted as bytes, a folder comes before what is
// in it, as the kernel wants.
func (a *archive) bytes() []byte {
	slices.SortFunc(a.members, func(m, n member) int { return cmp.Compare(m.name, n.name) })
	var out bytes.Buffer
	for i, m := range a.members {
		writeMember(&out, i+1, m)
	}
	writeMember(&out, 0, member{name: "TRAILER!!!"})
	return out.Bytes()
}

func writeMember(out *bytes.Buffer, inode int, m member) {
	links := 1
	if m.mode&typeDirectory != 0 {
		links = 2
	}
	out.WriteString("070701")
	for _, field := range []int{
		inode, int(m.mode), 0, 0, links, 0, // owner, group; modification time
		len(m.content), 0, 0, 0, 0, // device numbers
		len(m.name) + 1, 0, // checksum, unused
	} {
		fmt.Fprintf(out, "%08X", field)
	}
	out.WriteString(m.name)
	out.WriteByte(0)
	pad(out)
	out.Write(m.content)
	pad(out)
}

// pad fills up to a multiple of 4, from the start of the archive.
func pad(out *bytes.Buffer) {
	for out.Len()%4 != 0 {
		out.WriteByte(0)
	}
}
