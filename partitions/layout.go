package partitions

import "fmt"

// The fixed measures of a proa disk, in bytes.
const (
	SectorSize = 512
	Alignment  = 1 << 20 // of every partition's start and size
	StateSize  = 1 << 20
	ESPMinimum = 64 << 20 // what a FAT32 file system and two UKIs need at the least
)

// Types of the Discoverable Partitions Specification (UAPI.2), and our own for
// the state partition.
var (
	TypeESP   = mustGUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	TypeVar   = mustGUID("4d21b016-b534-45c2-a9fb-5c16e091fd2d")
	TypeState = mustGUID("3f6b2a0e-8d51-4c27-9a6e-70726f610001")

	typeRootAMD64   = mustGUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
	typeVerityAMD64 = mustGUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")
	typeRootARM64   = mustGUID("b921b045-1df0-41c3-af44-4c6f280d3fae")
	typeVerityARM64 = mustGUID("df3300ce-d69f-4c92-978c-9bfb0f38d820")
)

// TypeRoot is the partition type of a root file system; arch is a Go
// architecture name, "amd64" or "arm64".
func TypeRoot(arch string) GUID {
	if arch == "arm64" {
		return typeRootARM64
	}
	return typeRootAMD64
}

// TypeVerity is the partition type of a root file system's hash tree.
func TypeVerity(arch string) GUID {
	if arch == "arm64" {
		return typeVerityARM64
	}
	return typeVerityAMD64
}

// Partition is one entry of a disk's table.
type Partition struct {
	Number int   // from 1
	Role   Role  // also the GPT name
	Type   GUID  // GPT partition type
	GUID   GUID  // unique identifier
	Start  int64 // bytes from the start of the disk
	Size   int64 // bytes
}

// Layout is the partition table of a whole disk.
type Layout struct {
	DiskGUID   GUID
	DiskSize   int64 // bytes, with both copies of the table
	Partitions []Partition
}

// Find is the partition with the given role.
func (l Layout) Find(role Role) (Partition, bool) {
	for _, p := range l.Partitions {
		if p.Role == role {
			return p, true
		}
	}
	return Partition{}, false
}

// Sizes are the bytes of each kind of partition; every one is rounded up to
// Alignment.
type Sizes struct {
	ESP    int64
	Root   int64 // of each slot
	Verity int64 // of each slot
	Var    int64
}

// Plan lays out a disk for the given architecture: esp, root a, verity a,
// root b, verity b, state, var, each on a MiB, every GUID derived from the
// seed. It refuses sizes that are not positive, an ESP under ESPMinimum, and a
// disk over 8 EiB.
func Plan(seed, arch string, sizes Sizes) (Layout, error) {
	if sizes.ESP < ESPMinimum {
		return Layout{}, fmt.Errorf("esp of %d bytes: want at least %d", sizes.ESP, int64(ESPMinimum))
	}
	layout := Layout{DiskGUID: DeriveGUID(seed, "disk")}
	next := int64(Alignment) // the primary table ends well before it
	for i, part := range []struct {
		role Role
		kind GUID
		size int64
	}{
		{RoleESP, TypeESP, sizes.ESP},
		{RoleRootA, TypeRoot(arch), sizes.Root},
		{RoleVerityA, TypeVerity(arch), sizes.Verity},
		{RoleRootB, TypeRoot(arch), sizes.Root},
		{RoleVerityB, TypeVerity(arch), sizes.Verity},
		{RoleState, TypeState, StateSize},
		{RoleVar, TypeVar, sizes.Var},
	} {
		if part.size <= 0 {
			return Layout{}, fmt.Errorf("partition %s of %d bytes: want more than 0", part.role, part.size)
		}
		const most = int64(1) << 62
		if part.size > most-next {
			return Layout{}, fmt.Errorf("partition %s of %d bytes: the disk would be larger than %d", part.role, part.size, most)
		}
		size := (part.size + Alignment - 1) / Alignment * Alignment
		layout.Partitions = append(layout.Partitions, Partition{
			Number: i + 1,
			Role:   part.role,
			Type:   part.kind,
			GUID:   DeriveGUID(seed, string(part.role)),
			Start:  next,
			Size:   size,
		})
		next += size
	}
	layout.DiskSize = next + Alignment // room for the backup table
	return layout, nil
}
