package repository

import "encoding/binary"

// The seek table of zstd's seekable format, version 0.1.0
// (contrib/seekable_format/zstd_seekable_compression_format.md in zstd): a
// skippable frame at the end of the file that lists the frames before it.
const (
	seekSkippable   = 0x184D2A5E
	seekMagic       = 0x8F92EAB1
	seekEntrySize   = 8 // without the optional checksums
	seekFooterSize  = 9
	skippableHeader = 8
)

// seekFrame is one entry: sizes in bytes.
type seekFrame struct{ encoded, decoded uint32 }

func seekTable(frames []seekFrame) []byte {
	table := make([]byte, 0, skippableHeader+len(frames)*seekEntrySize+seekFooterSize)
	put := func(v uint32) { table = binary.LittleEndian.AppendUint32(table, v) }
	put(seekSkippable)
	put(uint32(len(frames)*seekEntrySize + seekFooterSize))
	for _, f := range frames {
		put(f.encoded)
		put(f.decoded)
	}
	put(uint32(len(frames)))
	table = append(table, 0) // descriptor: no checksums
	put(seekMagic)
	return table
}
