package repomd

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// start reads what is between < and >.
func (s *scanner) start(tag []byte) error {
	if s.open == maxDepth {
		return fmt.Errorf("more than %d elements in each other", maxDepth)
	}
	tag, s.empty = bytes.CutSuffix(tag, []byte("/"))
	name, rest := cutName(tag)
	if len(name) == 0 {
		return errors.New("a tag without a name")
	}
	s.names[s.open] = append(s.names[s.open][:0], name...)
	s.open++
	s.name, s.depth, s.attrs = local(s.names[s.open-1]), s.open, s.attrs[:0]
	for {
		trimmed := trimLeft(rest)
		if len(trimmed) == 0 {
			return nil
		}
		if len(trimmed) == len(rest) || len(s.attrs) == maxAttrs {
			return fmt.Errorf("<%.100s>: attributes run together, or are more than %d", name, maxAttrs)
		}
		key, after := cutName(trimmed)
		after = trimLeft(after)
		if len(key) == 0 || len(after) == 0 || after[0] != '=' {
			return fmt.Errorf("<%.100s>: %.100q: want attributes with values", name, trimmed)
		}
		after = trimLeft(after[1:])
		if len(after) == 0 || after[0] != '"' && after[0] != '\'' {
			return fmt.Errorf("<%.100s>: %.100q: want attributes with quoted values", name, trimmed)
		}
		end := bytes.IndexByte(after[1:], after[0])
		if end < 0 {
			return fmt.Errorf("<%.100s>: an attribute without its closing quote", name)
		}
		if _, twice := s.attr(string(key)); twice {
			return fmt.Errorf("<%.100s>: attribute %.100q is there twice", name, key)
		}
		s.attrs = append(s.attrs, attr{key, after[1 : end+1]})
		rest = after[end+2:]
	}
}

const blanks = " \t\r\n"

// cutName cuts the name off that b starts with.
func cutName(b []byte) (name, rest []byte) {
	i := 0
	for i < len(b) && (b[i] >= 'a' && b[i] <= 'z' || b[i] >= 'A' && b[i] <= 'Z' || b[i] >= '0' && b[i] <= '9' ||
		b[i] == '_' || b[i] == '-' || b[i] == ':' || b[i] == '.') {
		i++
	}
	return b[:i], b[i:]
}

// trimLeft is bytes.TrimLeft of blanks, which is called for each attribute.
func trimLeft(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

func local(name []byte) []byte {
	return name[bytes.IndexByte(name, ':')+1:]
}

// attr is the raw value of an attribute of the start that was last found.
func (s *scanner) attr(key string) ([]byte, bool) {
	for _, a := range s.attrs {
		if string(a.name) == key {
			return a.value, true
		}
	}
	return nil, false
}

// decode replaces the references to characters in raw: the five entities that
// XML has, and numbers.
func decode(raw []byte) (string, error) {
	if !utf8.Valid(raw) {
		return "", fmt.Errorf("%.100q is not UTF-8", raw)
	}
	var out []byte
	for rest := raw; ; {
		at := bytes.IndexByte(rest, '&')
		if at < 0 {
			if out == nil {
				return string(raw), nil
			}
			return string(append(out, rest...)), nil
		}
		name, after, ok := bytes.Cut(rest[at+1:], []byte(";"))
		c, known := character(string(name[:min(len(name), 12)]))
		if !ok || !known {
			return "", fmt.Errorf("&%.20s: want &amp; &lt; &gt; &quot; &apos; or a number", name)
		}
		out = append(out, rest[:at]...)
		out = utf8.AppendRune(out, c)
		rest = after
	}
}

func character(name string) (rune, bool) {
	if c, ok := map[string]rune{"amp": '&', "lt": '<', "gt": '>', "quot": '"', "apos": '\''}[name]; ok {
		return c, true
	}
	digits, ok := strings.CutPrefix(name, "#")
	base := 10
	if hex, isHex := strings.CutPrefix(digits, "x"); isHex {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	return rune(n), ok && err == nil && n > 0 && utf8.ValidRune(rune(n))
}
