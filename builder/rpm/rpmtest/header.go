package rpmtest

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// The kinds of values, as package rpm has them.
const (
	Char    = 1
	Int16   = 3
	Int32   = 4
	Int64   = 5
	Text    = 6
	Bin     = 7
	Strings = 8
	I18N    = 9
)

// Value is a value of a header. Count is written as it is.
type Value struct {
	Tag, Kind, Count uint32
	Data             []byte
	Offset           func(usual uint32) uint32 // optional: where the index says that it is
}

// Words is a list of strings.
func Words(tag uint32, words ...string) Value {
	return Value{Tag: tag, Kind: Strings, Count: uint32(len(words)), Data: zeroEnded(words)}
}

// Word is one string.
func Word(tag uint32, word string) Value {
	return Value{Tag: tag, Kind: Text, Count: 1, Data: zeroEnded([]string{word})}
}

func zeroEnded(words []string) []byte {
	var data []byte
	for _, w := range words {
		data = append(append(data, w...), 0)
	}
	return data
}

// Numbers are integers of 16, 32 or 64 bits.
func Numbers(tag, kind uint32, numbers ...uint64) Value {
	v := Value{Tag: tag, Kind: kind, Count: uint32(len(numbers))}
	for _, n := range numbers {
		switch kind {
		case Int16:
			v.Data = binary.BigEndian.AppendUint16(v.Data, uint16(n))
		case Int32:
			v.Data = binary.BigEndian.AppendUint32(v.Data, uint32(n))
		default:
			v.Data = binary.BigEndian.AppendUint64(v.Data, n)
		}
	}
	return v
}

// Bytes is a binary value.
func Bytes(tag uint32, data []byte) Value {
	return Value{Tag: tag, Kind: Bin, Count: uint32(len(data)), Data: data}
}

// Header writes values as a header of the given region, with its magic number,
// sorted by tag.
func Header(region uint32, values ...Value) []byte {
	values = slices.Clone(values)
	slices.SortStableFunc(values, func(a, b Value) int { return cmp.Compare(a.Tag, b.Tag) })
	var index, store []byte
	entry := func(into []byte, fields ...uint32) []byte {
		for _, f := range fields {
			into = binary.BigEndian.AppendUint32(into, f)
		}
		return into
	}
	for _, v := range values {
		width := map[uint32]int{Int16: 2, Int32: 4, Int64: 8}[v.Kind]
		for width > 0 && len(store)%width != 0 {
			store = append(store, 0)
		}
		offset := uint32(len(store))
		if v.Offset != nil {
			offset = v.Offset(offset)
		}
		index = entry(index, v.Tag, v.Kind, offset, v.Count)
		store = append(store, v.Data...)
	}
	count := uint32(len(values) + 1)
	index = append(entry(nil, region, Bin, uint32(len(store)), 16), index...)
	store = entry(store, region, Bin, -(count * 16), 16)
	header := entry([]byte{0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0}, count, uint32(len(store)))
	return slices.Concat(header, index, store)
}
