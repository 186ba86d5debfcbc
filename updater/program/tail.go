package program

import "bytes"

// Tail keeps the end of what is written to it.
type Tail struct {
	Most int64 // bytes; required

	kept []byte
	cut  bool
}

// Write implements io.Writer; it has no errors.
func (t *Tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := int64(len(t.kept)) - t.Most; over > 0 {
		t.kept, t.cut = append(t.kept[:0], t.kept[over:]...), true
	}
	return len(p), nil
}

// Bytes are whole lines if there is a line's end at all.
func (t *Tail) Bytes() []byte {
	if _, rest, found := bytes.Cut(t.kept, []byte("\n")); t.cut && found {
		return rest
	}
	return t.kept
}

// LastLine is the last one that is not blank, without white space around it.
func (t *Tail) LastLine() string {
	text := bytes.TrimSpace(t.kept)
	return string(bytes.TrimSpace(text[bytes.LastIndexByte(text, '\n')+1:]))
}
