package gpt

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf16"

	"github.com/proa-os/proa/partitions"
)

// parseEntries reads the entries in use and checks that each has a place of
// its own inside the usable area and cannot be taken for another one.
func (d disk) parseEntries(h header, raw []byte) ([]partitions.Partition, error) {
	var found []partitions.Partition
	for i := range int(h.count) {
		entry := raw[i*int(h.entrySize):][:leastEntry]
		kind := partitions.GUIDFromDisk([16]byte(entry[0:16]))
		if kind.IsZero() {
			continue
		}
		first, last := binary.LittleEndian.Uint64(entry[32:]), binary.LittleEndian.Uint64(entry[40:])
		if first < h.firstUsable || last > h.lastUsable || first > last {
			return nil, fmt.Errorf("partition %d in sectors %d to %d: want it within %d to %d",
				i+1, first, last, h.firstUsable, h.lastUsable)
		}
		found = append(found, partitions.Partition{
			Number: i + 1,
			Role:   partitions.Role(parseName(entry[56:leastEntry])),
			Type:   kind,
			GUID:   partitions.GUIDFromDisk([16]byte(entry[16:32])),
			Start:  int64(first) * d.sector,
			Size:   int64(last-first+1) * d.sector,
		})
	}
	if err := checkOverlaps(found); err != nil {
		return nil, err
	}
	return found, checkDuplicates(found)
}

// parseName reads 36 UTF-16LE units, which end at the first zero.
func parseName(raw []byte) string {
	units := make([]uint16, 0, len(raw)/2)
	for i := 0; i+1 < len(raw); i += 2 {
		unit := binary.LittleEndian.Uint16(raw[i:])
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return string(utf16.Decode(units))
}

func byStart(found []partitions.Partition) []partitions.Partition {
	sorted := slices.Clone(found)
	slices.SortFunc(sorted, func(p, q partitions.Partition) int { return cmp.Compare(p.Start, q.Start) })
	return sorted
}

func checkOverlaps(found []partitions.Partition) error {
	sorted := byStart(found)
	for i := 1; i < len(sorted); i++ {
		p, q := sorted[i-1], sorted[i]
		if p.Start+p.Size > q.Start {
			return fmt.Errorf("partitions %d and %d overlap at byte %d", p.Number, q.Number, q.Start)
		}
	}
	return nil
}

// checkDuplicates refuses two partitions with one GUID, or with one name where
// that is a role's. Other names may repeat: tools write "Linux filesystem" for
// every data partition.
func checkDuplicates(found []partitions.Partition) error {
	guids := make(map[partitions.GUID]int, len(found))
	roles := make(map[partitions.Role]int, len(found))
	for _, p := range found {
		if other, ok := guids[p.GUID]; ok {
			return fmt.Errorf("partitions %d and %d have one GUID %s", other, p.Number, p.GUID)
		}
		guids[p.GUID] = p.Number
		if _, ok := typeOf(p.Role, ""); !ok {
			continue
		}
		if other, ok := roles[p.Role]; ok {
			return fmt.Errorf("partitions %d and %d have one name %q", other, p.Number, p.Role)
		}
		roles[p.Role] = p.Number
	}
	return nil
}
