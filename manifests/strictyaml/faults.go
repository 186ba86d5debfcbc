package strictyaml

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Position is a place in a document, both counted from 1.
type Position struct{ Line, Column int }

// Fault is one thing that is wrong, and where.
type Fault struct {
	Position
	Message string
}

// Faults is everything that is wrong with one document, in its order.
type Faults struct {
	Name  string // the document's, usually a path
	Items []Fault
}

// Error gives each fault a line of its own: "name:line:column: message". Keys and
// values of the document are in messages; what a terminal could obey is escaped.
func (f *Faults) Error() string {
	lines := make([]string, len(f.Items))
	for i, item := range f.Items {
		lines[i] = fmt.Sprintf("%s:%d:%d: %s", f.Name, item.Line, item.Column, printable(item.Message))
	}
	return strings.Join(lines, "\n")
}

func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
