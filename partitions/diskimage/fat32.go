package diskimage

import (
	"encoding/binary"
	"fmt"

	"github.com/proa-os/proa/partitions"
)

// Of the file systems that are made here (Microsoft's FAT specification of 2000,
// "Boot Sector and BPB Structure").
const (
	espLabel        = "ESP        " // 11 bytes
	reservedSectors = 32            // as mkfs.fat has it
	leastClusters   = 65525         // with fewer, a volume is FAT16 for everybody
	mostClusters    = 0x0ffffff4
	endOfChain      = 0x0fffffff
)

// geometry is where things are in a FAT32 file system.
type geometry struct {
	sector       int64 // bytes
	perCluster   int64 // sectors
	total        int64 // sectors
	tableSectors int64 // of each of the two copies
	clusters     int64
}

func (g geometry) clusterSize() int64 { return g.sector * g.perCluster }
func (g geometry) tableAt() int64     { return reservedSectors * g.sector }
func (g geometry) dataAt() int64      { return g.tableAt() + 2*g.tableSectors*g.sector }

// offset is where a cluster is, in bytes.
func (g geometry) offset(cluster uint32) int64 { return g.dataAt() + int64(cluster-2)*g.clusterSize() }

// clustersFor is how many clusters hold n bytes.
func (g geometry) clustersFor(n int64) int64 { return (n + g.clusterSize() - 1) / g.clusterSize() }

// LeastESP is the smallest boot partition, in bytes, that a disk with sectors of
// sectorSize bytes can have: FAT32 has a least number of clusters, and no cluster
// is smaller than a sector.
func LeastESP(sectorSize int64) int64 {
	return max(roundUp(leastClusters*(sectorSize+8)+(reservedSectors+2)*sectorSize+4*blockSize), partitions.ESPMinimum)
}

// newGeometry divides size bytes. Clusters have the size that Microsoft's table
// gives for FAT32. The data begins at a multiple of 4 KiB.
func newGeometry(size, sectorSize int64) (geometry, error) {
	const mib, gib = 1 << 20, 1 << 30
	if sectorSize != 512 && sectorSize != 4096 {
		return geometry{}, fmt.Errorf("sectors of %d bytes: want 512 or 4096", sectorSize)
	}
	cluster := int64(32 << 10)
	for _, row := range []struct{ upTo, cluster int64 }{{260 * mib, 512}, {8 * gib, 4096}, {16 * gib, 8192}, {32 * gib, 16384}} {
		if size <= row.upTo {
			cluster = row.cluster
			break
		}
	}
	g := geometry{sector: sectorSize, perCluster: max(cluster/sectorSize, 1), total: size / sectorSize}
	// The longer the tables, the fewer clusters they need to have room for.
	for tableSize, needed := int64(0), int64(blockSize); tableSize < needed; {
		tableSize += blockSize
		g.tableSectors = tableSize / sectorSize
		g.clusters = (g.total - reservedSectors - 2*g.tableSectors) / g.perCluster
		needed = 4 * (g.clusters + 2)
	}
	if g.clusters < leastClusters || g.clusters > mostClusters || g.total > 1<<32-1 {
		return geometry{}, fmt.Errorf("%d bytes in sectors of %d: want a size for FAT32, at least %d", size, sectorSize, LeastESP(sectorSize))
	}
	return g, nil
}

// bootSector is the first sector.
func (g geometry) bootSector(seed string) []byte {
	le := binary.LittleEndian
	boot := make([]byte, g.sector)
	copy(boot, []byte{0xeb, 0x58, 0x90})
	copy(boot[3:], "MSWIN4.1") // what the specification recommends
	le.PutUint16(boot[11:], uint16(g.sector))
	boot[13] = byte(g.perCluster)
	le.PutUint16(boot[14:], reservedSectors)
	boot[16] = 2    // tables
	boot[21] = 0xf8 // a disk
	le.PutUint16(boot[24:], 32)
	le.PutUint16(boot[26:], 64) // sectors and heads, which nobody asks for
	le.PutUint32(boot[32:], uint32(g.total))
	le.PutUint32(boot[36:], uint32(g.tableSectors))
	le.PutUint32(boot[44:], 2) // the root folder
	le.PutUint16(boot[48:], 1) // FSInfo
	le.PutUint16(boot[50:], 6) // the copy of the boot sector
	boot[64] = 0x80
	boot[66] = 0x29 // the next three are there
	id := partitions.DeriveGUID(seed, "esp volume id")
	copy(boot[67:71], id[:])
	copy(boot[71:], espLabel)
	copy(boot[82:], "FAT32   ")
	boot[510], boot[511] = 0x55, 0xaa
	return boot
}

// infoSector is FSInfo ("FAT32 FSInfo Sector Structure and Backup Boot Sector");
// used is the clusters in use, all at the start.
func (g geometry) infoSector(used int64) []byte {
	le := binary.LittleEndian
	info := make([]byte, g.sector)
	le.PutUint32(info, 0x41615252)
	le.PutUint32(info[484:], 0x61417272)
	le.PutUint32(info[488:], uint32(g.clusters-used))
	le.PutUint32(info[492:], uint32(used+2))
	le.PutUint32(info[508:], 0xaa550000)
	return info
}

// head is everything before the data: boot sector, FSInfo, the copies of both, and
// both tables, of chains that lie one after the other with the given lengths.
func (g geometry) head(seed string, chains []int64) []byte {
	head := make([]byte, g.dataAt())
	table := head[g.tableAt():][:g.tableSectors*g.sector]
	le := binary.LittleEndian
	le.PutUint32(table, 0x0ffffff8)
	le.PutUint32(table[4:], endOfChain)
	next := int64(2)
	for _, length := range chains {
		for range length - 1 {
			le.PutUint32(table[4*next:], uint32(next+1))
			next++
		}
		le.PutUint32(table[4*next:], endOfChain)
		next++
	}
	copy(head[g.tableAt()+int64(len(table)):], table)
	boot, info := g.bootSector(seed), g.infoSector(next-2)
	for _, at := range []int64{0, 6} {
		copy(head[at*g.sector:], boot)
		copy(head[(at+1)*g.sector:], info)
	}
	return head
}
