package accounts

import (
	"bytes"
	"strings"
)

// withLines is a text with lines that it does not have yet at its end.
func withLines(text []byte, lines []string) []byte {
	has := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		has[strings.TrimSpace(line)] = true
	}
	out := bytes.Clone(text)
	for _, line := range lines {
		if has[line] {
			continue
		}
		has[line] = true
		if len(out) > 0 && out[len(out)-1] != '\n' {
			out = append(out, '\n')
		}
		out = append(out, line+"\n"...)
	}
	return out
}
