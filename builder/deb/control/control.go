// Package control reads what Debian packages and archives say of themselves:
// stanzas of fields (deb822(5)), the relations in them (deb-control(5), Debian
// Policy section 7) and versions (deb-version(7)).
//
// It knows syntax only. Whether a text can be trusted is for its user to know.
package control

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// most fields of one stanza; packages have less than 40.
const maxFields = 256

// Reader reads stanzas one after another.
type Reader struct {
	r      *bufio.Reader
	most   int
	lines  int
	stanza Stanza
}

// NewReader reads stanzas of at most most bytes each from r.
func NewReader(r io.Reader, most int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), most: most}
}

// Next is the next stanza, which is valid until the next call, or io.EOF.
func (r *Reader) Next() (*Stanza, error) {
	s := &r.stanza
	s.text, s.fields = s.text[:0], s.fields[:0]
	for {
		start := len(s.text)
		err := r.line()
		if err != nil && err != io.EOF {
			return nil, err
		}
		end := start + len(bytes.TrimSuffix(s.text[start:], []byte("\n")))
		switch {
		case end > start:
			if err := s.add(start, end); err != nil {
				return nil, fmt.Errorf("line %d: %w", r.lines, err)
			}
		case len(s.fields) > 0:
			s.text = s.text[:start]
			return s, nil
		default:
			s.text = s.text[:0]
		}
		if err == io.EOF && len(s.fields) == 0 {
			return nil, io.EOF
		}
	}
}

// line adds the next line to the text of the stanza.
func (r *Reader) line() error {
	r.lines++
	for {
		part, err := r.r.ReadSlice('\n')
		if len(r.stanza.text)+len(part) > r.most {
			return fmt.Errorf("line %d: a stanza of more than %d bytes", r.lines, r.most)
		}
		r.stanza.text = append(r.stanza.text, part...)
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}

// Single reads a text that has to be exactly one stanza of at most most bytes.
func Single(text []byte, most int) (*Stanza, error) {
	r := NewReader(bytes.NewReader(text), most)
	s, err := r.Next()
	if err == io.EOF {
		return nil, errors.New("no fields in it")
	}
	if err != nil {
		return nil, err
	}
	only := *s
	r.stanza = Stanza{}
	if _, err := r.Next(); err == nil {
		return nil, fmt.Errorf("line %d: a second stanza: want one", r.lines)
	} else if err != io.EOF {
		return nil, err
	}
	return &only, nil
}

// Stanza is a paragraph of fields. No name of a field appears in it twice.
type Stanza struct {
	text   []byte
	fields []field
}

// field is where a name and its value are in the text.
type field struct{ name, nameEnd, value, valueEnd int }

// add takes in the line that is the text from start to end.
func (s *Stanza) add(start, end int) error {
	line := s.text[start:end]
	if bytes.IndexByte(line, 0) >= 0 {
		return errors.New("want no NUL in it")
	}
	if line[0] == ' ' || line[0] == '\t' {
		switch {
		case len(s.fields) == 0:
			return errors.New("want a field before its continuation")
		case len(bytes.TrimSpace(line)) == 0:
			return errors.New("want no line of nothing but white space")
		}
		s.fields[len(s.fields)-1].valueEnd = start + len(bytes.TrimRight(line, " \t\r"))
		return nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 || !isFieldName(line[:colon]) {
		return fmt.Errorf("%.60q: want a field's name, a colon and its value", line)
	}
	name := line[:colon]
	if _, twice := s.find(string(name)); twice {
		return fmt.Errorf("field %.60s: appears twice", name)
	}
	if len(s.fields) == maxFields {
		return fmt.Errorf("more than %d fields", maxFields)
	}
	value := bytes.TrimLeft(line[colon+1:], " \t\r")
	valueStart := end - len(value)
	s.fields = append(s.fields, field{start, start + colon, valueStart, valueStart + len(bytes.TrimRight(value, " \t\r"))})
	return nil
}

// isFieldName is the rule of deb822(5): printable ASCII without space and
// colon, and neither # nor - first.
func isFieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(name) > 0 && name[0] != '#' && name[0] != '-'
}

func (s *Stanza) find(name string) (field, bool) {
	for _, f := range s.fields {
		if f.nameEnd-f.name == len(name) && bytes.EqualFold(s.text[f.name:f.nameEnd], []byte(name)) {
			return f, true
		}
	}
	return field{}, false
}

// Bytes is the value of a field as it is in the text, without the white space
// around it; nil when there is none. It is valid as long as the stanza is.
func (s *Stanza) Bytes(name string) []byte {
	f, ok := s.find(name)
	if !ok || f.valueEnd <= f.value {
		return nil
	}
	return s.text[f.value:f.valueEnd]
}

// Value is Bytes as a string of its own.
func (s *Stanza) Value(name string) string { return string(s.Bytes(name)) }

// Text is the stanza as it was read, with the end of its last line.
func (s *Stanza) Text() string { return string(bytes.TrimRight(s.text, "\n")) + "\n" }

// All are the fields with values, in the order of the text.
func (s *Stanza) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, f := range s.fields {
			if f.valueEnd > f.value && !yield(string(s.text[f.name:f.nameEnd]), string(s.text[f.value:f.valueEnd])) {
				return
			}
		}
	}
}
