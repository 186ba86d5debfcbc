package installer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/gpt"
)

// contents is what is on a disk.
type contents struct {
	blank      bool // nothing at either end
	unfinished bool // an installation was cut: nothing that anybody would miss
	text       string
}

// signature is a mark by which a file system or the like is known.
type signature struct {
	at    int64 // bytes from the start of the disk; negative: from its end
	magic string
	name  string
}

// signatures are as in wipefs(8), of what is found on whole disks. What is not here
// is data all the same.
var signatures = []signature{
	{1080, "\x53\xef", "ext file system"},
	{0, "XFSB", "XFS file system"},
	{0x10040, "_BHRfS_M", "btrfs file system"},
	{0, "LUKS\xba\xbe", "LUKS volume"},
	{512, "LABELONE", "LVM volume"},
	{3, "NTFS    ", "NTFS file system"},
	{3, "EXFAT   ", "exFAT file system"},
	{82, "FAT32   ", "FAT file system"},
	{54, "FAT16   ", "FAT file system"},
	{32769, "CD001", "ISO 9660 file system"},
	{4086, "SWAPSPACE2", "swap space"},
	{1024, "\xe2\xe1\xf5\xe0", "EROFS file system"},
	{0, "hsqs", "squashfs file system"},
	{4096, "\xfc\x4e\x2b\xa9", "member of a RAID"},
	{-8192, "\xfc\x4e\x2b\xa9", "member of a RAID"},
	{-65536, "\xfc\x4e\x2b\xa9", "member of a RAID"},
}

// examine looks at both ends of a disk. It is blank only if there is nothing but
// zeros: what is not known is data.
func examine(r io.ReaderAt, size int64) (contents, error) {
	if size < 2*edge {
		return contents{blank: true, text: "nothing"}, nil // and too small for anything
	}
	head, tail := make([]byte, edge), make([]byte, edge)
	if err := readFull(r, head, 0); err != nil {
		return contents{}, err
	}
	if err := readFull(r, tail, size-edge); err != nil {
		return contents{}, err
	}
	table, err := gpt.Read(r, size)
	switch {
	case err == nil:
		return contents{text: describe(table)}, nil
	case !errors.Is(err, gpt.ErrNoTable):
		return contents{text: fmt.Sprintf("a damaged partition table (%v)", err)}, nil
	case isZero(head) && isZero(tail):
		return contents{blank: true, text: "nothing"}, nil
	}
	for _, s := range signatures {
		place := head
		at := s.at
		if at < 0 {
			place, at = tail, at+edge
		}
		if bytes.HasPrefix(place[at:], []byte(s.magic)) {
			return contents{text: s.name}, nil
		}
	}
	if isUnfinished(head) {
		return contents{unfinished: true, text: "an installation that has not ended"}, nil
	}
	if n := partitionsOfMBR(head[:512]); n > 0 {
		return contents{text: fmt.Sprintf("%d partitions (MBR)", n)}, nil
	}
	return contents{text: "data of an unknown kind"}, nil
}

// isUnfinished reports whether the head of a disk is as an installation leaves it that
// was cut: our mark, perhaps copies of the table, which the first sector does not make
// count yet, and nothing else. Who gave the disk to something else since then, has
// written there.
func isUnfinished(head []byte) bool {
	const tables = 24 << 10 // where headers and entries of both sizes of sectors end
	marked, found := bytes.CutPrefix(head[markAt:], []byte(mark))
	return found && isZero(head[:512]) && isZero(head[tables:markAt]) && isZero(marked) &&
		(isZero(head[512:1024]) || bytes.HasPrefix(head[512:], []byte(gpt.Signature)))
}

func isZero(p []byte) bool { return len(bytes.TrimLeft(p, "\x00")) == 0 }

func describe(table gpt.Table) string {
	const most = 8
	var names []string
	for _, p := range table.Partitions {
		name := firstOf(plain(string(p.Role)), "?")
		names = append(names, name)
	}
	if len(names) > most {
		names = append(names[:most], "…")
	}
	what := fmt.Sprintf("%d partitions (%s)", len(table.Partitions), strings.Join(names, ", "))
	if _, ok := table.Find(partitions.RoleVerityA); ok {
		what = "a system of proa: " + what
	}
	return what
}

// partitionsOfMBR counts the entries in use of a plausible MBR.
func partitionsOfMBR(mbr []byte) int {
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return 0
	}
	n := 0
	for entry := mbr[446:510]; len(entry) > 0; entry = entry[16:] {
		if entry[0]&0x7f != 0 {
			return 0
		}
		if entry[4] != 0 && binary.LittleEndian.Uint32(entry[12:]) != 0 {
			n++
		}
	}
	return n
}
