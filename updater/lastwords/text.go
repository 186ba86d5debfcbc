package lastwords

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/updater/program"
)

// lineMost is the longest line, in bytes, that is kept.
const lineMost = 1024

// text is the end of a log as somebody else wrote it, and where it is from.
type text struct {
	source string
	raw    []byte
}

// clean is the last lines, at most most bytes of them, each harmless.
func (t text) clean(lines int, most int64) string {
	var kept []string
	for line := range bytes.Lines(t.raw) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			kept = append(kept, clean(string(line))+"\n")
		}
	}
	kept = kept[max(0, len(kept)-lines):]
	size := int64(0)
	for i := len(kept) - 1; i >= 0; i-- {
		if size += int64(len(kept[i])); size > most {
			kept = kept[i+1:]
			break
		}
	}
	return strings.Join(kept, "")
}

// clean makes one line harmless for a terminal: what is not printed, or turns the
// direction of writing, stands there in its escaped form.
func clean(line string) string {
	const more = "…"
	var b strings.Builder
	for i, r := range line {
		piece := string(r)
		switch {
		case r == '\t':
			piece = " "
		case r == utf8.RuneError && !strings.HasPrefix(line[i:], "\ufffd"):
			piece = fmt.Sprintf(`\x%02x`, line[i])
		case !unicode.IsPrint(r) && r < 0x100:
			piece = fmt.Sprintf(`\x%02x`, r)
		case !unicode.IsPrint(r):
			piece = fmt.Sprintf(`\u%04x`, r)
		}
		if b.Len()+len(piece)+len(more) > lineMost {
			return b.String() + more
		}
		b.WriteString(piece)
	}
	return b.String()
}

// readEnd reads the last bytes of a regular file.
func readEnd(path string, most int64) ([]byte, error) {
	file, _, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	end := &program.Tail{Most: most}
	// Files of pstore have no honest size: read on until the end.
	_, err = io.Copy(end, io.LimitReader(file, 16<<20))
	return end.Bytes(), err
}
