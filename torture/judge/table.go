package judge

import (
	"encoding/binary"
	"errors"
)

const tableSectors = 34 // the protective MBR, the header, 128 entries

// readTable reads both copies of a GPT with 128 entries (UEFI Specification
// 2.10, section 5.3).
func readTable(disk Disk) ([]byte, error) {
	raw := make([]byte, (2*tableSectors-1)*512)
	if _, err := disk.ReadAt(raw[:tableSectors*512], 0); err != nil {
		return nil, err
	}
	_, err := disk.ReadAt(raw[tableSectors*512:], disk.Size()-(tableSectors-1)*512)
	return raw, err
}

func parseTable(header []byte) (map[string]place, error) {
	if string(header[:8]) != "EFI PART" || binary.LittleEndian.Uint32(header[84:]) != 128 {
		return nil, errors.New("partition table: not a GPT with 128 entries")
	}
	places := map[string]place{}
	for i := range 128 {
		entry := header[512+128*i:][:128]
		first, last := binary.LittleEndian.Uint64(entry[32:]), binary.LittleEndian.Uint64(entry[40:])
		if first == 0 || last < first || last > 1<<40 {
			continue
		}
		places[text(entry[56:])] = place{int64(first) * 512, int64(last-first+1) * 512}
	}
	return places, nil
}
