package machine

import (
	"bytes"
	"os"
	"regexp"
	"strings"
)

// escapes are the terminal sequences that firmware and loader write.
var escapes = regexp.MustCompile(`\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>c])`)

// Console is the last lines of the serial console so far, without terminal
// sequences: for people to read after a failure. Under emulation the text may
// have lost or gained characters, so nothing should be concluded from it.
func (b *Boot) Console(lines int) string {
	raw, err := os.ReadFile(b.Log)
	if err != nil {
		return ""
	}
	raw = escapes.ReplaceAll(raw, nil)
	raw = bytes.ReplaceAll(raw, []byte("\r"), nil)
	var kept []string
	for line := range strings.Lines(strings.ToValidUTF8(string(raw), "?")) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-lines):], "\n")
}
