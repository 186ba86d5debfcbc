package packed

import (
	"encoding/binary"
	"errors"
)

// Table says what is packed in a reference and in an output.
type Table struct {
	Reference []Stream // without Unpacked
	Output    []Stream // Skip counts in the unpacked output
	Unpacked  int      // bytes of the unpacked output
}

// streamsMost bounds the streams of a table.
const streamsMost = 1 << 14

// Append appends the table as it travels, all numbers as unsigned varints: how many
// streams the reference has and of each Skip and Kind; the bytes of the unpacked
// output, how many streams it has and of each Skip, Unpacked and Kind, and of those of
// kind LZ4 Lost.
func (t Table) Append(to []byte) []byte {
	to = binary.AppendUvarint(to, uint64(len(t.Reference)))
	for _, s := range t.Reference {
		to = append(binary.AppendUvarint(to, uint64(s.Skip)), byte(s.Kind))
	}
	to = binary.AppendUvarint(to, uint64(t.Unpacked))
	to = binary.AppendUvarint(to, uint64(len(t.Output)))
	for _, s := range t.Output {
		to = binary.AppendUvarint(to, uint64(s.Skip))
		to = append(binary.AppendUvarint(to, uint64(s.Unpacked)), byte(s.Kind))
		if s.Kind == LZ4 {
			to = binary.AppendUvarint(to, uint64(s.Lost))
		}
	}
	return to
}

var errTable = errors.New("table of packed streams: ends early, or a number is too large")

// ParseTable reads a table from the front of data and returns what follows. No
// number in it is larger than most.
func ParseTable(data []byte, most int) (Table, []byte, error) {
	p := &tableParser{rest: data, most: most}
	var t Table
	t.Reference = p.streams(func(s *Stream) { s.Skip, s.Kind = p.number(), p.kind() })
	t.Unpacked = p.number()
	t.Output = p.streams(func(s *Stream) {
		s.Skip, s.Unpacked, s.Kind = p.number(), p.number(), p.kind()
		if s.Kind == LZ4 {
			s.Lost = p.number()
		}
	})
	if p.broken {
		return Table{}, nil, errTable
	}
	return t, p.rest, nil
}

type tableParser struct {
	rest   []byte
	most   int
	broken bool
}

func (p *tableParser) streams(read func(*Stream)) []Stream {
	n := p.number()
	if n > min(streamsMost, len(p.rest)) {
		p.broken = true
	}
	if p.broken {
		return nil
	}
	all := make([]Stream, n)
	for i := range all {
		read(&all[i])
	}
	return all
}

func (p *tableParser) number() int {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 || n > 1 && p.rest[n-1] == 0 || v > uint64(p.most) {
		p.broken = true
		return 0
	}
	p.rest = p.rest[n:]
	return int(v)
}

func (p *tableParser) kind() Kind {
	if len(p.rest) == 0 {
		p.broken = true
		return 0
	}
	k := Kind(p.rest[0])
	p.rest = p.rest[1:]
	return k
}
