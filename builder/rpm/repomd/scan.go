package repomd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	maxToken = 1 << 20 // bytes of one tag, or of the text before it
	maxDepth = 16      // elements in each other
	maxAttrs = 32
	window   = 128 << 10
)

// scanner reads the XML of repository metadata: elements, attributes and text.
// It takes nothing that this metadata does not have: no declarations, and so no
// entities of its own, no CDATA, and names are taken without their namespace.
// encoding/xml reads 14 MB a second, and a distribution has 200 MB.
type scanner struct {
	r       io.Reader
	buf     []byte // what was read and is still needed
	at      int    // where in buf the next token starts
	readErr error

	names [maxDepth][]byte // the elements around, as they are written
	open  int              // how many there are
	empty bool             // the last tag was <name/>, its end comes next
	ended bool             // the root was closed

	// Of the last tag, until the next call.
	depth int    // of its element; the root's is 1
	name  []byte // without its prefix
	attrs []attr // of a start
	raw   []byte // of an end: the text before it
}

type attr struct{ name, value []byte } // as it is written

func newScanner(r io.Reader) *scanner { return &scanner{r: r, buf: make([]byte, 0, window)} }

// next finds the next start or end of an element. At the end of the document it
// returns io.EOF.
func (s *scanner) next() (start bool, err error) {
	if s.ended {
		return false, s.finish()
	}
	if s.empty {
		s.empty, s.raw = false, nil
		return false, s.close(s.names[s.open-1])
	}
	for {
		text, tag, err := s.token()
		if err != nil {
			return false, err
		}
		blank := len(trimLeft(text)) == 0
		switch {
		case tag == nil: // a comment or a processing instruction
			if !blank {
				return false, errors.New("a comment or instruction within text")
			}
			continue
		case tag[0] == '/':
			s.raw = text
			return false, s.close(bytes.TrimRight(tag[1:], blanks))
		case !blank:
			return false, errors.New("text and elements side by side")
		}
		return true, s.start(tag)
	}
}

// token reads up to the end of the next tag. Tag is nil for what is skipped.
func (s *scanner) token() (text, tag []byte, err error) {
	from, err := s.find(0, "<")
	if err != nil {
		return nil, nil, err
	}
	head, err := s.need(from + 4)
	if err != nil {
		return nil, nil, err
	}
	end := 0
	switch head := head[from+1:]; {
	case bytes.HasPrefix(head, []byte("!--")):
		if end, err = s.find(from+4, "-->"); err == nil {
			end += len("-->")
		}
	case head[0] == '?':
		if end, err = s.find(from+2, "?>"); err == nil {
			end += len("?>")
		}
	case head[0] == '!':
		return nil, nil, errors.New("a declaration or CDATA section")
	default:
		if end, err = s.tagEnd(from + 1); err == nil {
			tag = s.buf[s.at:][from+1 : end-1]
		}
	}
	if err != nil {
		return nil, nil, err
	}
	text = s.buf[s.at:][:from]
	s.at += end
	if tag != nil && len(tag) == 0 {
		return nil, nil, errors.New("a tag without a name")
	}
	return text, tag, nil
}

// tagEnd returns where, from s.at on, the tag ends whose content starts at i.
func (s *scanner) tagEnd(i int) (int, error) {
	for quote := byte(0); ; i++ {
		for s.at+i >= len(s.buf) {
			if err := s.more(); err != nil {
				return 0, err
			}
		}
		b := s.buf[s.at+i]
		switch {
		case quote != 0:
			if b == quote {
				quote = 0
			} else if b == '<' {
				return 0, errors.New("a < within an attribute")
			}
		case b == '"' || b == '\'':
			quote = b
		case b == '<':
			return 0, errors.New("a < within a tag")
		case b == '>':
			return i + 1, nil
		}
	}
}

// find returns where, from s.at on, text is next at or behind i.
func (s *scanner) find(i int, text string) (int, error) {
	for {
		if s.at+i <= len(s.buf) {
			rest := s.buf[s.at+i:]
			if found := bytes.Index(rest, []byte(text)); found >= 0 {
				return i + found, nil
			}
			i += max(0, len(rest)-len(text)+1)
		}
		if err := s.more(); err != nil {
			return 0, err
		}
	}
}

// need makes sure that n bytes are there from s.at on.
func (s *scanner) need(n int) ([]byte, error) {
	for len(s.buf)-s.at < n {
		if err := s.more(); err != nil {
			return nil, err
		}
	}
	return s.buf[s.at:], nil
}

// more reads on. Slices of buf are not valid then.
func (s *scanner) more() error {
	if s.readErr != nil {
		if s.readErr == io.EOF {
			return io.ErrUnexpectedEOF
		}
		return s.readErr
	}
	if s.at > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[s.at:])]
		s.at = 0
	}
	if len(s.buf) == cap(s.buf) {
		if len(s.buf) >= maxToken {
			return fmt.Errorf("a tag or text of more than %d bytes", maxToken)
		}
		s.buf = slices.Grow(s.buf, len(s.buf))
	}
	var n int
	for idle := 0; n == 0 && s.readErr == nil; idle++ {
		n, s.readErr = s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		if idle > 100 {
			s.readErr = io.ErrNoProgress
		}
	}
	s.buf = s.buf[:len(s.buf)+n]
	if n == 0 {
		return s.more()
	}
	return nil
}

// finish makes sure that nothing but blanks and comments is behind the root.
func (s *scanner) finish() error {
	for {
		if _, err := s.need(1); err == io.ErrUnexpectedEOF {
			return io.EOF
		} else if err != nil {
			return err
		}
		if strings.IndexByte(blanks, s.buf[s.at]) >= 0 {
			s.at++
			continue
		}
		text, tag, err := s.token()
		if err != nil || tag != nil || len(text) > 0 {
			return errors.Join(errors.New("something is behind the root element"), err)
		}
	}
}

func (s *scanner) close(name []byte) error {
	if s.open == 0 || !bytes.Equal(s.names[s.open-1], name) {
		return fmt.Errorf("</%.100q> closes what is not open", name)
	}
	s.name, s.attrs, s.depth = local(s.names[s.open-1]), nil, s.open
	s.open--
	s.ended = s.open == 0
	return nil
}
