package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// header fields, by their place (UEFI Specification 2.10, table 5.5).
const (
	atRevision   = 8
	atHeaderSize = 12
	atMy         = 24
	atAlternate  = 32
	atFirst      = 40
	atLast       = 48
	atEntries    = 72
	atCount      = 80
	atEntrySize  = 84
	atEntriesCRC = 88
)

// TestMalformedTablesAreRefused spoils one field in both copies, with right
// checksums, so that only the check of that field can find it.
func TestMalformedTablesAreRefused(t *testing.T) {
	le := binary.LittleEndian
	whole := sgdiskImage(t)
	if _, err := read(reseal(bytes.Clone(whole))); err != nil {
		t.Fatalf("before anything is spoilt: %v", err)
	}
	type headers func(header []byte)
	put32 := func(at int, v uint32) headers { return func(h []byte) { le.PutUint32(h[at:], v) } }
	put64 := func(at int, v uint64) headers { return func(h []byte) { le.PutUint64(h[at:], v) } }
	inBoth := func(change headers) func([]byte) {
		return func(disk []byte) {
			for _, h := range [][]byte{disk[512:1024], disk[len(disk)-512:]} {
				change(h)
				resum(h)
			}
		}
	}
	entry := func(number int, first, last uint64) func([]byte) {
		return func(disk []byte) {
			e := disk[1024+(number-1)*128:]
			le.PutUint64(e[32:], first)
			le.PutUint64(e[40:], last)
			reseal(disk)
		}
	}
	for name, c := range map[string]struct {
		spoil func([]byte)
		says  string
	}{
		"revision":                         {inBoth(put32(atRevision, 0x00020000)), "revision"},
		"header of 0 bytes":                {inBoth(put32(atHeaderSize, 0)), "header of 0 bytes"},
		"header of 91 bytes":               {inBoth(put32(atHeaderSize, 91)), "header of 91 bytes"},
		"header of 513 bytes":              {inBoth(put32(atHeaderSize, 513)), "header of 513 bytes"},
		"header of 2^31 bytes":             {inBoth(put32(atHeaderSize, 1<<31)), "header of 2147483648 bytes"},
		"header of 2^32-1 bytes":           {inBoth(put32(atHeaderSize, 1<<32-1)), "header of 4294967295 bytes"},
		"0 entries":                        {inBoth(put32(atCount, 0)), "0 entries"},
		"1025 entries":                     {inBoth(put32(atCount, 1025)), "1025 entries"},
		"2^31 entries":                     {inBoth(put32(atCount, 1<<31)), "2147483648 entries"},
		"2^32-1 entries":                   {inBoth(put32(atCount, 1<<32-1)), "4294967295 entries"},
		"entries of 0 bytes":               {inBoth(put32(atEntrySize, 0)), "entries of 0 bytes"},
		"entries of 91 bytes":              {inBoth(put32(atEntrySize, 91)), "entries of 91 bytes"},
		"entries of 127 bytes":             {inBoth(put32(atEntrySize, 127)), "entries of 127 bytes"},
		"entries of 384 bytes":             {inBoth(put32(atEntrySize, 384)), "entries of 384 bytes"},
		"entries of 2^31 bytes":            {inBoth(put32(atEntrySize, 1<<31)), "entries of 2147483648 bytes"},
		"entries of 2^32-1 bytes":          {inBoth(put32(atEntrySize, 1<<32-1)), "entries of 4294967295 bytes"},
		"entries longer than their place":  {inBoth(put32(atCount, 1024)), "sectors of entries"},
		"entries in sector 0":              {inBoth(put64(atEntries, 0)), "sectors of entries from sector 0"},
		"entries in sector 1":              {inBoth(put64(atEntries, 1)), "sectors of entries from sector 1"},
		"entries in a partition":           {inBoth(put64(atEntries, 2048)), "sectors of entries from sector 2048"},
		"entries beyond the disk":          {inBoth(put64(atEntries, 1<<63)), "sectors of entries"},
		"entries at the end of numbers":    {inBoth(put64(atEntries, 1<<64-1)), "sectors of entries"},
		"header that is elsewhere":         {inBoth(put64(atMy, 77)), "says that it is in sector 77"},
		"other header in sector 0":         {inBoth(put64(atAlternate, 0)), "backup header in sector 0"},
		"other header beyond the disk":     {inBoth(put64(atAlternate, testDisk/512)), "backup header in sector 32768"},
		"other header at end of numbers":   {inBoth(put64(atAlternate, 1<<64-1)), "backup header in sector"},
		"usable from sector 2":             {inBoth(put64(atFirst, 2)), "usable sectors 2"},
		"usable from sector 33":            {inBoth(put64(atFirst, 33)), "usable sectors 33"},
		"usable to the backup header":      {inBoth(put64(atLast, testDisk/512-1)), "usable sectors"},
		"usable to the end of numbers":     {inBoth(put64(atLast, 1<<64-1)), "usable sectors"},
		"usable area upside down":          {inBoth(put64(atLast, 34-1)), "usable sectors 34 to 33"},
		"checksum of the entries":          {inBoth(put32(atEntriesCRC, 1)), "checksum of the entries"},
		"partition in sector 0":            {entry(2, 0, 9), "partition 2 in sectors 0 to 9"},
		"partition in sector 1":            {entry(2, 1, 9), "partition 2 in sectors 1 to 9"},
		"partition in sector 33":           {entry(2, 33, 2047), "partition 2 in sectors 33"},
		"partition upside down":            {entry(2, 4097, 4096), "partition 2 in sectors 4097 to 4096"},
		"partition over the backup table":  {entry(7, 14336, testDisk/512-33), "partition 7"},
		"partition to the end of numbers":  {entry(7, 14336, 1<<64-1), "partition 7"},
		"partition from the other end":     {entry(7, 1<<63, 1<<63+9), "partition 7"},
		"partitions overlap by one sector": {entry(2, 4095, 6143), "partitions 1 and 2 overlap"},
		"partition inside another":         {entry(7, 4100, 4101), "overlap"},
		"one GUID twice": {func(disk []byte) {
			copy(disk[1024+128+16:][:16], disk[1024+16:][:16])
			reseal(disk)
		}, "partitions 1 and 2 have one GUID"},
		"one role twice": {func(disk []byte) {
			copy(disk[1024+3*128+56:][:72], disk[1024+1*128+56:][:72])
			reseal(disk)
		}, "partitions 2 and 4 have one name \"root-a\""},
	} {
		t.Run(name, func(t *testing.T) {
			disk := reseal(bytes.Clone(whole))
			c.spoil(disk)
			table, err := read(disk)
			if err == nil {
				t.Fatalf("accepted: %+v", table)
			}
			primary, _, _ := strings.Cut(err.Error(), "; backup copy:")
			if !strings.Contains(primary, c.says) {
				t.Errorf("error %q does not say %q of the primary copy", err, c.says)
			}
			if errors.Is(err, ErrNoTable) {
				t.Errorf("a bad table is taken for none: %v", err)
			}
		})
	}
}

func TestForeignNamesMayRepeat(t *testing.T) {
	disk := sgdiskImage(t)
	for _, number := range []int{2, 4} {
		copy(disk[1024+(number-1)*128+56:][:72], "L\x00i\x00n\x00u\x00x\x00\x00\x00")
	}
	table, err := read(reseal(disk))
	if err != nil || table.Partitions[1].Role != "Linux" || table.Partitions[3].Role != "Linux" {
		t.Errorf("%v, %v", table.Partitions, err)
	}
}

func TestBackupCopyReplacesADamagedPrimary(t *testing.T) {
	whole := sgdiskImage(t)
	for name, at := range map[string]int{
		"signature": 512, "header field": 512 + atFirst, "header checksum": 512 + 16,
		"entry": 1024 + 130, "last entry": 1024 + 16383,
	} {
		disk := bytes.Clone(whole)
		disk[at] ^= 0x10
		table, err := read(disk)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if table.Primary == nil || table.Backup != nil || !strings.Contains(table.Damaged, "backup copy was used") {
			t.Errorf("%s: primary %v, backup %v, damaged %q", name, table.Primary, table.Backup, table.Damaged)
		}
		if len(table.Partitions) != len(proaPartitions()) {
			t.Errorf("%s: %d partitions", name, len(table.Partitions))
		}
	}
}

func TestDamagedBackupIsReported(t *testing.T) {
	whole := sgdiskImage(t)
	for name, at := range map[string]int{
		"signature": testDisk - 512, "header": testDisk - 512 + atLast, "entries": testDisk - 33*512,
	} {
		disk := bytes.Clone(whole)
		disk[at] ^= 1
		table, err := read(disk)
		if err != nil || table.Backup == nil || table.Primary != nil || !strings.Contains(table.Damaged, "primary copy was used") {
			t.Errorf("%s: %v, backup %v, damaged %q", name, err, table.Backup, table.Damaged)
		}
	}
	disk := bytes.Clone(whole)
	disk[512+atAlternate], disk[512+atAlternate+1] = 1, 0
	resum(disk[512:1024])
	if table, err := read(disk); err != nil || table.Primary == nil {
		t.Errorf("a primary header that is its own backup: %v, %v", table.Primary, err)
	}
	disk = bytes.Clone(whole)
	disk[512] = 0
	disk[len(disk)-512+atAlternate] = 2
	resum(disk[len(disk)-512:])
	if _, err := read(disk); err == nil || !strings.Contains(err.Error(), "primary header in sector 2") {
		t.Errorf("a backup of another primary: %v", err)
	}
	disk = bytes.Clone(whole)
	disk[len(disk)-512+56] ^= 1 // the disk's GUID, in a copy that is whole
	resum(disk[len(disk)-512:])
	if table, err := read(disk); err != nil || !strings.Contains(table.Damaged, "differs from the primary") || !errors.Is(table.Backup, ErrOthers) {
		t.Errorf("copies that differ: %v, damaged %q", err, table.Damaged)
	}
}

// TestImageOnALargerDiskIsAccepted is a disk image copied to a larger disk.
func TestImageOnALargerDiskIsAccepted(t *testing.T) {
	disk := append(sgdiskImage(t), make([]byte, 1<<20)...)
	table, err := read(disk)
	if err != nil || table.Damaged != "" {
		t.Errorf("%v, damaged %q", err, table.Damaged)
	}
	if table, err := read(disk[:testDisk-512]); err == nil {
		t.Errorf("a disk that is one sector too small is accepted: %+v", table)
	}
}

func TestDisksWithoutATableAreTold(t *testing.T) {
	noMBR := sgdiskImage(t)
	noMBR[510] = 0
	otherEnd := sgdiskImage(t)
	otherEnd[511] = 0
	otherMBR := sgdiskImage(t)
	otherMBR[446+4] = 0x83
	for name, disk := range map[string][]byte{
		"empty": nil, "one sector": make([]byte, 512), "blank": make([]byte, 1<<20),
		"no boot signature": noMBR, "half a boot signature": otherEnd, "stale table under an MBR": otherMBR,
	} {
		if _, err := read(disk); !errors.Is(err, ErrNoTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read(bytes.NewReader(nil), -1); !errors.Is(err, ErrNoTable) {
		t.Errorf("negative size: %v", err)
	}
	for sectors, says := range map[int]string{1: "reading sector 1:", 2: "reading sector 2:"} {
		_, err := Read(bytes.NewReader(sgdiskImage(t)[:sectors*512]), testDisk)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("a disk of which %d sectors can be read: %v", sectors, err)
		}
	}
	if _, err := Read(bytes.NewReader(nil), testDisk); err == nil || errors.Is(err, ErrNoTable) {
		t.Errorf("a disk that cannot be read: %v", err)
	}
}

func TestReadDiskFindsTheSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, sgdiskImage(t), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if table, err := ReadDisk(f); err != nil || table.DiskSize != testDisk {
		t.Errorf("%+v, %v", table, err)
	}
}

// FuzzRead varies the first 34 sectors and the last 33 of a disk; whatever is
// accepted must be safe to use. Half of the runs get right checksums, without
// which nothing is looked at.
func FuzzRead(f *testing.F) {
	const head, tail = 34 * 512, 33 * 512
	whole := sgdiskImage(f)
	for _, spoil := range []func([]byte){
		func([]byte) {},
		func(d []byte) { clear(d[512:1024]) },
		func(d []byte) { d[1024+128+33] = 0xff },
		func(d []byte) { d[512+atCount] = 4 },
	} {
		disk := reseal(bytes.Clone(whole))
		spoil(disk)
		f.Add(bytes.Clone(disk[:head]), bytes.Clone(disk[testDisk-tail:]), false)
		f.Add(bytes.Clone(disk[:head]), bytes.Clone(disk[testDisk-tail:]), true)
	}
	disk := make([]byte, testDisk)
	f.Fuzz(func(t *testing.T, first, last []byte, seal bool) {
		clear(disk[:head])
		clear(disk[testDisk-tail:])
		copy(disk[:head], first)
		copy(disk[testDisk-tail:], last)
		if seal {
			reseal(disk)
		}
		table, err := read(disk)
		if err != nil {
			return
		}
		var end int64
		for _, p := range byStart(table.Partitions) {
			if p.Start < 34*512 || p.Start < end || p.Size <= 0 || p.Size > testDisk-33*512-p.Start {
				t.Fatalf("partition %+v after byte %d on a disk of %d", p, end, testDisk)
			}
			end = p.Start + p.Size
		}
		for _, p := range proaPartitions() {
			table.Find(p.Role)
		}
	})
}
