// Package fat reads the FAT32 file system of a boot partition without mounting
// it, and distrusts every byte: sizes are bounded before anything is allocated,
// chains and folders cannot loop, and what firmware and the kernel could
// understand differently is an error.
//
// The format is that of Microsoft's FAT specification of 2000 ("FAT: General
// Overview of On-Disk Format", version 1.03). The package never writes.
package fat

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

// Bounds of what is read; the specification has no smaller ones for a boot
// partition, and no tool comes near them.
const (
	mostFolder  = 2 << 20 // bytes of one folder (specification: 65,536 entries)
	mostDepth   = 16      // folders below each other
	mostEntries = 1 << 16 // files and folders in all
)

// leastClusters is the number of clusters from which on a volume is FAT32 and
// not FAT16: the count decides, nothing else does.
const leastClusters = 65525

// FileSystem is a FAT32 file system that is open for reading. Its methods may
// be used from several goroutines.
type FileSystem struct {
	r           io.ReaderAt
	clusterSize int64  // bytes
	clusters    uint32 // data clusters, numbered from 2
	tableAt     int64  // bytes
	tableSize   int64  // bytes of each copy
	tables      int    // copies
	dataAt      int64  // bytes
	root        uint32 // first cluster of the root folder
	volumeID    uint32
}

// Extent is a piece of a file: bytes from the start of the file system.
type Extent struct {
	Offset, Length int64
}

// Open checks the boot sector of the file system in the size bytes of r.
func Open(r io.ReaderAt, size int64) (*FileSystem, error) {
	boot := make([]byte, 512)
	if n, err := r.ReadAt(boot, 0); n < len(boot) {
		return nil, fmt.Errorf("reading the boot sector: %w", err)
	}
	fs, err := parseBoot(boot, size)
	if err != nil {
		return nil, fmt.Errorf("boot sector: %w", err)
	}
	fs.r = r
	return fs, nil
}

// parseBoot reads the BIOS parameter block (specification, "Boot Sector and
// BPB Structure").
func parseBoot(boot []byte, size int64) (*FileSystem, error) {
	le := binary.LittleEndian
	if boot[510] != 0x55 || boot[511] != 0xaa {
		return nil, fmt.Errorf("signature %02x%02x: want 55aa", boot[510], boot[511])
	}
	sector := int64(le.Uint16(boot[11:]))
	if sector < 512 || sector > 4096 || bits.OnesCount64(uint64(sector)) != 1 {
		return nil, fmt.Errorf("sectors of %d bytes: want 512, 1024, 2048 or 4096", sector)
	}
	perCluster := int64(boot[13])
	if bits.OnesCount64(uint64(perCluster)) != 1 || perCluster*sector > 64<<10 {
		return nil, fmt.Errorf("clusters of %d sectors of %d bytes: want a power of two, at most 64 KiB", perCluster, sector)
	}
	reserved := int64(le.Uint16(boot[14:]))
	tables := int(boot[16])
	if reserved == 0 || tables < 1 || tables > 2 {
		return nil, fmt.Errorf("%d reserved sectors and %d tables: want at least 1, and 1 or 2", reserved, tables)
	}
	if le.Uint16(boot[17:]) != 0 || le.Uint16(boot[19:]) != 0 || le.Uint16(boot[22:]) != 0 {
		return nil, fmt.Errorf("fields of FAT12 and FAT16 are set: want FAT32")
	}
	total, tableSectors := int64(le.Uint32(boot[32:])), int64(le.Uint32(boot[36:]))
	if total*sector > size {
		return nil, fmt.Errorf("%d sectors of %d bytes: want at most %d bytes", total, sector, size)
	}
	if flags, version := le.Uint16(boot[40:]), le.Uint16(boot[42:]); flags&0x80 != 0 || version != 0 {
		return nil, fmt.Errorf("flags %#x, version %#x: want mirrored tables and version 0", flags, version)
	}
	dataSector := reserved + int64(tables)*tableSectors
	if dataSector >= total {
		return nil, fmt.Errorf("%d tables of %d sectors: want them within %d sectors", tables, tableSectors, total)
	}
	clusters := (total - dataSector) / perCluster
	if clusters < leastClusters || clusters >= 0x0ffffff5 {
		return nil, fmt.Errorf("%d clusters: want %d to %d", clusters, leastClusters, 0x0ffffff4)
	}
	if tableSectors*sector/4 < clusters+2 {
		return nil, fmt.Errorf("tables of %d sectors: too small for %d clusters", tableSectors, clusters)
	}
	fs := &FileSystem{
		clusterSize: perCluster * sector,
		clusters:    uint32(clusters),
		tableAt:     reserved * sector,
		tableSize:   tableSectors * sector,
		tables:      tables,
		dataAt:      dataSector * sector,
		root:        le.Uint32(boot[44:]),
		volumeID:    le.Uint32(boot[67:]),
	}
	if !fs.isCluster(fs.root) {
		return nil, fmt.Errorf("root folder in cluster %d: want 2 to %d", fs.root, fs.clusters+1)
	}
	return fs, nil
}

// VolumeID is the serial number of the volume.
func (fs *FileSystem) VolumeID() uint32 { return fs.volumeID }

// ClusterSize is the bytes of a cluster.
func (fs *FileSystem) ClusterSize() int64 { return fs.clusterSize }

func (fs *FileSystem) isCluster(n uint32) bool { return n >= 2 && n-2 < fs.clusters }

func (fs *FileSystem) offset(cluster uint32) int64 {
	return fs.dataAt + int64(cluster-2)*fs.clusterSize
}

// chain follows the table from the cluster first for exactly want clusters;
// want < 0 is any number up to most.
func (fs *FileSystem) chain(first uint32, want, most int64) ([]Extent, error) {
	var extents []Extent
	table := tableReader{fs: fs}
	for n, cluster := int64(0), first; ; n++ {
		if !fs.isCluster(cluster) {
			return nil, fmt.Errorf("chain from cluster %d: cluster %d: want 2 to %d", first, cluster, fs.clusters+1)
		}
		if n == most {
			return nil, fmt.Errorf("chain from cluster %d: longer than %d clusters", first, most)
		}
		at := fs.offset(cluster)
		if last := len(extents) - 1; last >= 0 && extents[last].Offset+extents[last].Length == at {
			extents[last].Length += fs.clusterSize
		} else {
			extents = append(extents, Extent{at, fs.clusterSize})
		}
		next, err := table.next(cluster)
		if err != nil {
			return nil, err
		}
		if next >= 0x0ffffff8 {
			if want >= 0 && n+1 != want {
				return nil, fmt.Errorf("chain from cluster %d: %d clusters: want %d", first, n+1, want)
			}
			return extents, nil
		}
		cluster = next
	}
}

// tableReader reads entries of the first copy of the table by pages.
type tableReader struct {
	fs   *FileSystem
	page []byte
	at   int64
}

func (t *tableReader) next(cluster uint32) (uint32, error) {
	const pageSize = 4096
	at := int64(cluster) * 4
	if at < t.at || at >= t.at+int64(len(t.page)) {
		t.at = at / pageSize * pageSize
		t.page = make([]byte, min(pageSize, t.fs.tableSize-t.at))
		if n, err := t.fs.r.ReadAt(t.page, t.fs.tableAt+t.at); n < len(t.page) {
			return 0, fmt.Errorf("reading the allocation table: %w", err)
		}
	}
	return binary.LittleEndian.Uint32(t.page[at-t.at:]) & 0x0fffffff, nil
}
