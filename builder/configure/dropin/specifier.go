package dropin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// ErrMachine says that a value is for each machine to find out.
var ErrMachine = errors.New("known on a machine only")

// Specifiers are the values of the % specifiers that a build knows: what the
// image says of itself. Those that only a machine knows have none.
type Specifiers map[byte]string

// NewSpecifiers reads them from the tree's os-release(5).
func NewSpecifiers(t *tree.Tree) Specifiers {
	s := Specifiers{'%': "%", 'T': "/tmp", 'V': "/var/tmp", 't': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'h': "/root", 'u': "root", 'U': "0", 'g': "root", 'G': "0"}
	names := map[string]byte{"ID": 'o', "VERSION_ID": 'w', "VARIANT_ID": 'W', "BUILD_ID": 'B', "IMAGE_ID": 'M', "IMAGE_VERSION": 'A'}
	for _, letter := range names {
		s[letter] = ""
	}
	data, err := t.ReadFile("etc/os-release", maxFile)
	if err != nil {
		data, err = t.ReadFile("usr/lib/os-release", maxFile)
	}
	if err != nil {
		return s
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if letter, ok := names[name]; ok {
			s[letter] = strings.Trim(value, `"'`)
		}
	}
	return s
}

// Expand replaces the specifiers in text.
func (s Specifiers) Expand(text string) (string, error) {
	if !strings.Contains(text, "%") {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			out.WriteByte(text[i])
			continue
		}
		i++
		if i == len(text) {
			return "", fmt.Errorf("%q ends in a single %%", text)
		}
		value, ok := s[text[i]]
		if !ok {
			return "", fmt.Errorf("%%%c in %q is %w", text[i], text, ErrMachine)
		}
		out.WriteString(value)
	}
	return out.String(), nil
}
