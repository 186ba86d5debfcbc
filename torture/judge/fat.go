package judge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// volume reads a FAT32 file system as firmware does: by the first table, with
// long names where their checksum fits and short ones where it does not, and
// with no care for what is not asked for. See "FAT: General Overview of On-Disk
// Format", version 1.03, sections 3 to 7.
type volume struct {
	disk     Disk
	start    int64       // of the partition
	r        io.ReaderAt // from there on
	cluster  int64       // bytes
	table    []byte      // the first table
	data     int64       // offset of cluster 2
	clusters uint32
	root     uint32
}

// node is a file or folder.
type node struct {
	name   string
	folder bool
	first  uint32
	size   int64
}

const (
	tableMost  = 16 << 20  // bytes of one table
	folderMost = 1 << 20   // bytes of one folder that are read
	fileMost   = 256 << 20 // bytes of one file
)

func openVolume(disk Disk, at place) (*volume, error) {
	r, size := io.NewSectionReader(disk, at.start, at.size), at.size
	var boot [512]byte
	if _, err := r.ReadAt(boot[:], 0); err != nil {
		return nil, err
	}
	word := func(at int) int64 { return int64(binary.LittleEndian.Uint16(boot[at:])) }
	long := func(at int) int64 { return int64(binary.LittleEndian.Uint32(boot[at:])) }
	if boot[510] != 0x55 || boot[511] != 0xaa || word(11) != 512 || boot[13] == 0 || word(22) != 0 {
		return nil, errors.New("boot sector: not FAT32 with sectors of 512 bytes")
	}
	v := &volume{disk: disk, start: at.start, r: r, cluster: int64(boot[13]) * 512, root: uint32(long(44))}
	table, tableSize := word(14)*512, long(36)*512
	v.data = table + int64(boot[16])*tableSize
	if total := long(32) * 512; total > size || total <= v.data {
		return nil, fmt.Errorf("boot sector: a volume of %d bytes in a partition of %d", total, size)
	}
	v.clusters = uint32((long(32)*512 - v.data) / v.cluster)
	if tableSize > tableMost || tableSize < 4*(int64(v.clusters)+2) {
		return nil, fmt.Errorf("boot sector: a table of %d bytes for %d clusters", tableSize, v.clusters)
	}
	v.table = make([]byte, tableSize)
	if _, err := r.ReadAt(v.table, table); err != nil {
		return nil, err
	}
	return v, nil
}

// chain are the clusters from first on, at most as many as hold size bytes.
func (v *volume) chain(first uint32, size int64) ([]uint32, error) {
	var all []uint32
	for next := first; int64(len(all))*v.cluster < size; {
		if next < 2 || next-2 >= v.clusters {
			return nil, fmt.Errorf("a chain leads to cluster %d of %d", next, v.clusters)
		}
		all = append(all, next)
		if next = binary.LittleEndian.Uint32(v.table[4*next:]) & 0x0fffffff; next >= 0x0ffffff8 {
			break
		}
	}
	return all, nil
}

// read reads up to size bytes from a chain; a chain that is shorter ends it.
func (v *volume) read(first uint32, size int64) ([]byte, error) {
	chain, err := v.chain(first, size)
	if err != nil {
		return nil, err
	}
	out := make([]byte, min(size, int64(len(chain))*v.cluster))
	done := int64(0)
	for _, run := range v.runs(chain) {
		piece := out[done:min(int64(len(out)), done+run.size)]
		if _, err := v.r.ReadAt(piece, run.start); err != nil {
			return nil, err
		}
		done += run.size
	}
	return out, nil
}

// runs are where the clusters of a chain are, neighbours as one.
func (v *volume) runs(chain []uint32) []place {
	var all []place
	for i, cluster := range chain {
		if i > 0 && cluster == chain[i-1]+1 {
			all[len(all)-1].size += v.cluster
			continue
		}
		all = append(all, place{v.data + int64(cluster-2)*v.cluster, v.cluster})
	}
	return all
}

// key tells contents of a file apart: equal ones mean that it is the same.
func (v *volume) key(n node) (string, error) {
	chain, err := v.chain(n.first, min(n.size, fileMost))
	if err != nil {
		return "", fmt.Errorf("%s: %w", n.name, err)
	}
	key := binary.LittleEndian.AppendUint64(nil, uint64(n.size))
	for _, run := range v.runs(chain) {
		key = binary.LittleEndian.AppendUint64(key, uint64(run.start))
		key = binary.LittleEndian.AppendUint64(key, v.disk.Fingerprint(v.start+run.start, run.size))
	}
	return string(key), nil
}

// content is the whole of a file.
func (v *volume) content(n node) ([]byte, error) {
	if n.size > fileMost {
		return nil, fmt.Errorf("%s: %d bytes: want %d at most", n.name, n.size, int64(fileMost))
	}
	out, err := v.read(n.first, n.size)
	if err == nil && int64(len(out)) != n.size {
		err = fmt.Errorf("its clusters end after %d of %d bytes", len(out), n.size)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.name, err)
	}
	return out, nil
}

// list is what is in the folder that begins at a cluster.
func (v *volume) list(first uint32) ([]node, error) {
	raw, err := v.read(first, folderMost)
	if err != nil {
		return nil, err
	}
	var all []node
	var long longName
	for ; len(raw) >= 32 && raw[0] != 0; raw = raw[32:] {
		record := raw[:32]
		switch attributes := record[11]; {
		case record[0] == 0xe5:
			long = longName{}
		case attributes&0x3f == 0x0f:
			long.add(record)
		case attributes&0x08 != 0: // the volume's label
			long = longName{}
		default:
			n := node{
				name:   long.of(record),
				folder: attributes&0x10 != 0,
				first:  uint32(binary.LittleEndian.Uint16(record[20:]))<<16 | uint32(binary.LittleEndian.Uint16(record[26:])),
				size:   int64(binary.LittleEndian.Uint32(record[28:])),
			}
			long = longName{}
			all = append(all, n)
		}
	}
	return all, nil
}

// longName collects the records of a long name, which come last part first.
type longName struct {
	units []uint16
	sum   byte
	next  byte // the number of the part that is to come; 0 when none is
	whole bool
}

func (l *longName) add(record []byte) {
	number := record[0]
	switch {
	case number&0x40 != 0:
		*l = longName{sum: record[13], next: number & 0x3f}
	case l.next == 0 || number != l.next || record[13] != l.sum:
		*l = longName{}
		return
	}
	var part []uint16
	for _, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		part = append(part, binary.LittleEndian.Uint16(record[at:]))
	}
	l.units = append(part, l.units...)
	l.next--
	l.whole = l.next == 0
}

// of is the name of the record that follows.
func (l *longName) of(record []byte) string {
	var sum byte
	for _, c := range record[:11] {
		sum = sum>>1 | sum<<7
		sum += c
	}
	if l.whole && l.sum == sum {
		units := l.units
		for i, u := range units {
			if u == 0 {
				units = units[:i]
				break
			}
		}
		return string(utf16.Decode(units))
	}
	name := strings.TrimRight(string(record[:8]), " ")
	if extension := strings.TrimRight(string(record[8:11]), " "); extension != "" {
		name += "." + extension
	}
	return strings.ToLower(name)
}

// find follows a path of slashes.
func (v *volume) find(path string) (node, error) {
	at := node{name: "/", folder: true, first: v.root}
	for part := range strings.SplitSeq(path, "/") {
		if !at.folder {
			return node{}, fmt.Errorf("%s: %s is no folder", path, at.name)
		}
		entries, err := v.list(at.first)
		if err != nil {
			return node{}, fmt.Errorf("%s: folder %s: %w", path, at.name, err)
		}
		found := false
		for _, e := range entries {
			if strings.EqualFold(e.name, part) {
				at, found = e, true
				break
			}
		}
		if !found {
			return node{}, fmt.Errorf("%s: no such file", path)
		}
	}
	return at, nil
}
