// Package dropin reads the line-based configuration that systemd's tools have
// in common: folders of snippets where a name in a stronger folder hides it in
// the weaker ones, lines of quoted words, and % specifiers (sysusers.d(5),
// tmpfiles.d(5), systemd.preset(5)).
package dropin

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

const (
	maxFile  = 1 << 20 // bytes of a snippet
	maxLines = 20_000  // of all that are read together
)

// Line is one line of a snippet that is neither empty nor a comment.
type Line struct {
	File   string // its path in the tree
	Number int    // from 1
	Text   string
}

// Fault says that a line does not count, and why.
type Fault struct {
	File   string `json:"file"`
	Number int    `json:"line"`
	Reason string `json:"reason"`
}

// String is the fault as a message.
func (f Fault) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Number, f.Reason) }

// Fault is a fault of the line.
func (l Line) Fault(format string, args ...any) Fault {
	return Fault{l.File, l.Number, fmt.Sprintf(format, args...)}
}

// Folders are the folders of snippets that a build looks at, the strongest
// first: those of /run do not exist before a system runs.
func Folders(name string) []string {
	return []string{"etc/" + name, "usr/local/lib/" + name, "usr/lib/" + name}
}

// Files lists the snippets in folders that end in suffix, by their names. An
// empty one, and one that is a link to /dev/null, hide what they are named
// after.
func Files(t *tree.Tree, folders []string, suffix string) []string {
	found := map[string]string{}
	for _, folder := range folders {
		names, err := t.Children(folder)
		if err != nil {
			continue
		}
		for _, name := range names {
			if _, hidden := found[name]; !hidden && strings.HasSuffix(name, suffix) {
				found[name] = path.Join(folder, name)
			}
		}
	}
	var files []string
	for _, file := range found {
		if n, ok := t.Resolve(file); ok && n.Kind == tree.File && n.Content.Size > 0 {
			files = append(files, file)
		}
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return files
}

// Read reads the lines of files.
func Read(t *tree.Tree, files ...string) ([]Line, error) {
	var lines []Line
	for _, file := range files {
		data, err := t.ReadFile(file, maxFile)
		if err != nil {
			return nil, err
		}
		number := 0
		for text := range strings.Lines(string(data)) {
			number++
			text = strings.TrimSpace(text)
			if text != "" && text[0] != '#' && text[0] != ';' {
				lines = append(lines, Line{file, number, text})
			}
			if len(lines) > maxLines {
				return nil, fmt.Errorf("%s: more than %d lines", file, maxLines)
			}
		}
	}
	return lines, nil
}

// Words cuts a line into at most most words; the last one takes the rest as it
// stands when rest is set. Words may be quoted with ' or ", and have the
// escapes of C in them.
func Words(text string, most int, rest bool) ([]string, error) {
	var words []string
	for {
		text = strings.TrimLeft(text, " \t")
		if text == "" {
			return words, nil
		}
		if len(words) == most-1 && rest {
			return append(words, text), nil
		}
		if len(words) == most {
			return nil, fmt.Errorf("more than %d words", most)
		}
		word, after, err := cutWord(text)
		if err != nil {
			return nil, err
		}
		words, text = append(words, word), after
	}
}

func cutWord(text string) (word, rest string, err error) {
	var out strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\':
			value, size, err := unescape(text[i+1:])
			if err != nil {
				return "", "", err
			}
			out.WriteByte(value)
			i += size
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			out.WriteByte(c)
		case c == '"' || c == '\'':
			quote = c
		case c == ' ' || c == '\t':
			return out.String(), text[i:], nil
		default:
			out.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", fmt.Errorf("a quote %c is not closed", quote)
	}
	return out.String(), "", nil
}

// unescape reads the escape sequence behind a backslash.
func unescape(text string) (value byte, size int, err error) {
	if text == "" {
		return 0, 0, fmt.Errorf("a backslash ends the line")
	}
	if at := strings.IndexByte(`abfnrtv\"'s `, text[0]); at >= 0 {
		return "\a\b\f\n\r\t\v\\\"'  "[at], 1, nil
	}
	digits, base, from := 3, 8, 0
	if text[0] == 'x' {
		digits, base, from = 2, 16, 1
	}
	if len(text) < from+digits {
		return 0, 0, fmt.Errorf("escape \\%s: want all its digits", text)
	}
	number := 0
	for _, c := range []byte(strings.ToLower(text[from : from+digits])) {
		digit := strings.IndexByte("0123456789abcdef"[:base], c)
		if digit < 0 {
			return 0, 0, fmt.Errorf("escape \\%c is unknown", text[0])
		}
		number = number*base + digit
	}
	if number == 0 || number > 255 {
		return 0, 0, fmt.Errorf("escape \\%s: want a byte that is not NUL", text[:from+digits])
	}
	return byte(number), from + digits, nil
}
