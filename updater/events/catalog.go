package events

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Catalog is the message catalogue of all kinds, which journalctl -x shows
// with the messages: a file of /usr/lib/systemd/catalog (systemd project,
// "Message Catalog Developer Documentation").
func Catalog() string {
	var b strings.Builder
	b.WriteString("# What proa-agent writes to the journal, explained. Made from the table in\n# updater/events.\n")
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "\n-- %s\nSubject: %s\nDefined-By: proa\nSupport: https://github.com/proa-os/proa\n\n%s\n", k.ID(), k.Subject(), k.Explanation())
	}
	return b.String()
}

var mentioned = regexp.MustCompile(`@[A-Z0-9_]+@`)

// Missing lists the journal's fields that the kind's explanation speaks of and
// that e does not have.
func (e Event) Missing() []string {
	has := fields(e)
	var missing []string
	for _, word := range mentioned.FindAllString(e.Kind.Explanation(), -1) {
		name := strings.Trim(word, "@")
		if !slices.ContainsFunc(has, func(f field) bool { return f.name == name }) && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}
