package depmod

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// files are the index, in the order in which depmod writes it.
var files = []struct {
	name string
	make func(*index) ([]byte, error)
}{
	{"modules.dep", (*index).depends},
	{"modules.dep.bin", (*index).dependsTrie},
	{"modules.alias", (*index).aliases},
	{"modules.alias.bin", (*index).aliasTrie},
	{"modules.softdep", (*index).soft},
	{"modules.symbols", (*index).symbolAliases},
	{"modules.symbols.bin", (*index).symbolTrie},
	{"modules.builtin.bin", (*index).builtInTrie},
	{"modules.builtin.alias.bin", (*index).builtInAliasTrie},
	{"modules.devname", (*index).deviceNames},
}

// write puts the files of the index into the tree.
func (x *index) write(source string) error {
	for _, file := range files {
		data, err := file.make(x)
		if err != nil {
			return fmt.Errorf("%s: %w", file.name, err)
		}
		n := &tree.Node{Mode: 0o644, Source: source}
		if len(data) > 0 {
			n.Content = tree.Content{At: bytes.NewReader(data), Size: int64(len(data))}
		}
		if err := x.tree.Put(path.Join(x.folder, file.name), n); err != nil {
			return err
		}
	}
	return nil
}

func (x *index) depends() ([]byte, error) {
	var out bytes.Buffer
	for _, m := range x.modules {
		out.WriteString(m.dependsLine() + "\n")
	}
	return out.Bytes(), nil
}

func (x *index) dependsTrie() ([]byte, error) {
	var t trie
	for _, m := range x.modules {
		if err := t.insert(m.name, m.dependsLine(), m.index); err != nil {
			return nil, err
		}
	}
	return t.encode()
}

func (x *index) aliases() ([]byte, error) {
	out := bytes.NewBufferString("# Aliases extracted from modules themselves.\n")
	for _, m := range x.modules {
		for _, alias := range m.values("alias") {
			fmt.Fprintf(out, "alias %s %s\n", alias, m.name)
		}
	}
	return out.Bytes(), nil
}

func (x *index) aliasTrie() ([]byte, error) {
	var t trie
	for _, m := range x.modules {
		for _, alias := range m.values("alias") {
			pattern, ok := normal(alias)
			if !ok {
				continue // as depmod does, with a warning
			}
			if err := t.insert(pattern, m.name, m.index); err != nil {
				return nil, fmt.Errorf("module %s: %w", m.path, err)
			}
		}
	}
	return t.encode()
}

// normal is an alias with "_" for "-" outside of brackets; false when brackets
// do not match.
func normal(alias string) (string, bool) {
	out := []byte(alias)
	inside := false
	for i, c := range out {
		switch {
		case c == ']' && !inside:
			return "", false
		case c == ']':
			inside = false
		case c == '[':
			inside = true
		case c == '-' && !inside:
			out[i] = '_'
		}
	}
	return string(out), !inside
}

func (x *index) soft() ([]byte, error) {
	out := bytes.NewBufferString("# Soft dependencies extracted from modules themselves.\n")
	for _, m := range x.modules {
		for _, text := range m.values("softdep") {
			fmt.Fprintf(out, "softdep %s %s\n", m.name, text)
		}
	}
	return out.Bytes(), nil
}

func (x *index) symbolAliases() ([]byte, error) {
	out := bytes.NewBufferString("# Aliases for symbols, used by symbol_request().\n")
	for _, s := range x.symbols {
		fmt.Fprintf(out, "alias symbol:%s %s\n", s.name, s.owner.name)
	}
	return out.Bytes(), nil
}

func (x *index) symbolTrie() ([]byte, error) {
	var t trie
	for _, s := range x.symbols {
		if err := t.insert("symbol:"+s.name, s.owner.name, s.owner.index); err != nil {
			return nil, fmt.Errorf("module %s: %w", s.owner.path, err)
		}
	}
	return t.encode()
}

// readText is a file of the folder; false when there is none.
func (x *index) readText(name string) (string, bool, error) {
	data, err := x.tree.ReadFile(path.Join(x.folder, name), maxText)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(data), err == nil, err
}

// builtInTrie is an empty file when the kernel does not say what is built in.
func (x *index) builtInTrie() ([]byte, error) {
	lines, ok, err := x.readText("modules.builtin")
	if !ok {
		return nil, err
	}
	var t trie
	for line := range strings.Lines(lines) {
		c := line[0] | 0x20
		if c < 'a' || c > 'z' {
			continue
		}
		if err := t.insert(moduleName(strings.TrimSpace(line)), "", 0); err != nil {
			return nil, err
		}
	}
	return t.encode()
}

// builtInAliasTrie reads modules.builtin.modinfo: "name.key=value" with NUL.
func (x *index) builtInAliasTrie() ([]byte, error) {
	fields, ok, err := x.readText("modules.builtin.modinfo")
	if !ok {
		return nil, err
	}
	var t trie
	for field := range strings.SplitSeq(fields, "\x00") {
		name, rest, _ := strings.Cut(field, ".")
		alias, isAlias := strings.CutPrefix(rest, "alias=")
		pattern, ok := normal(alias)
		if !isAlias || name == "" || alias == "" || !ok {
			continue
		}
		if err := t.insert(pattern, name, 0); err != nil {
			return nil, err
		}
	}
	return t.encode()
}

// deviceNames lists device nodes that udev makes before their modules are
// there, for modules whose aliases have both a name and a number.
func (x *index) deviceNames() ([]byte, error) {
	var out bytes.Buffer
	for _, m := range x.modules {
		name, number := "", ""
		for _, alias := range m.values("alias") {
			if is, ok := strings.CutPrefix(alias, "devname:"); ok {
				name = is
			} else if is, ok := deviceNumber(alias); ok {
				number = is
			}
			if name != "" && number != "" {
				break
			}
		}
		if name == "" || number == "" {
			continue
		}
		if out.Len() == 0 {
			out.WriteString("# Device nodes to trigger on-demand module loading.\n")
		}
		fmt.Fprintf(&out, "%s %s %s\n", m.name, name, number)
	}
	return out.Bytes(), nil
}

// deviceNumber is "c10:229" for "char-major-10-229".
func deviceNumber(alias string) (string, bool) {
	for prefix, kind := range map[string]string{"char-major-": "c", "block-major-": "b"} {
		rest, ok := strings.CutPrefix(alias, prefix)
		var major, minor uint32
		if !ok {
			continue
		}
		if n, _ := fmt.Sscanf(rest, "%d-%d", &major, &minor); n == 2 {
			return fmt.Sprintf("%s%d:%d", kind, major, minor), true
		}
	}
	return "", false
}
