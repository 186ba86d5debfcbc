package initrd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// index is what depmod wrote about a kernel's modules (modules.dep(5),
// kmod's depmod). Modules are known by name: the file's, without its suffixes
// and with "_" for "-".
type index struct {
	release string
	folder  string                // usr/lib/modules/RELEASE
	modules map[string]moduleFile // by name
	builtIn map[string]bool
	before  map[string][]string // soft dependencies to be loaded first, if they exist
	after   map[string][]string // and afterwards
	aliases map[string][]string // names by alias, aliases without wildcards only
}

type moduleFile struct {
	name    string
	path    string   // from folder
	depends []string // paths from folder
}

// The kernel's modules are in one of these, the other one often being a
// symbolic link to it.
var moduleFolders = []string{"usr/lib/modules", "lib/modules"}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func readIndex(files Files, release string) (*index, error) {
	if release == "" || strings.ContainsAny(release, "/\x00") || release == ".." {
		return nil, fmt.Errorf("kernel release %q: want a file name", release)
	}
	x := &index{
		release: release,
		modules: make(map[string]moduleFile),
		builtIn: make(map[string]bool),
		before:  make(map[string][]string),
		after:   make(map[string][]string),
		aliases: make(map[string][]string),
	}
	var depends []byte
	var err error
	for _, folder := range moduleFolders {
		x.folder = folder + "/" + release
		if depends, err = files.ReadFile(x.folder + "/modules.dep"); !isMissing(err) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the modules of kernel %s: %w", release, err)
	}
	if err := x.parseDepends(depends); err != nil {
		return nil, fmt.Errorf("%s/modules.dep: %w", x.folder, err)
	}
	for _, file := range []struct {
		name  string
		parse func([]byte)
	}{
		{"modules.builtin", x.parseBuiltIn},
		{"modules.softdep", x.parseSoft},
		{"modules.alias", x.parseAliases},
	} {
		content, err := files.ReadFile(x.folder + "/" + file.name)
		if err != nil && !isMissing(err) {
			return nil, fmt.Errorf("reading %s of kernel %s: %w", file.name, release, err)
		}
		file.parse(content)
	}
	return x, nil
}

// moduleName is "dm_verity" for "kernel/drivers/md/dm-verity.ko.xz".
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// lines calls fn with the words of every line that has any and is no comment.
func lines(content []byte, fn func(words []string)) {
	for line := range bytes.Lines(content) {
		if words := strings.Fields(string(line)); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			fn(words)
		}
	}
}

// parseDepends reads lines of "PATH: DEPENDENCY...".
func (x *index) parseDepends(content []byte) error {
	var wrong error
	lines(content, func(words []string) {
		file, ok := strings.CutSuffix(words[0], ":")
		if !ok {
			wrong = fmt.Errorf("line %.80q: want a path and a colon", strings.Join(words, " "))
			return
		}
		for _, p := range append([]string{file}, words[1:]...) {
			if !fs.ValidPath(p) {
				wrong = fmt.Errorf("path %.80q: want one inside the folder", p)
				return
			}
		}
		x.modules[moduleName(file)] = moduleFile{moduleName(file), file, words[1:]}
	})
	return wrong
}

func (x *index) parseBuiltIn(content []byte) {
	lines(content, func(words []string) { x.builtIn[moduleName(words[0])] = true })
}

// parseSoft reads lines of "softdep NAME [pre: NAME...] [post: NAME...]".
func (x *index) parseSoft(content []byte) {
	lines(content, func(words []string) {
		if words[0] != "softdep" || len(words) < 3 {
			return
		}
		name := moduleName(words[1])
		var into map[string][]string
		for _, word := range words[2:] {
			switch word {
			case "pre:":
				into = x.before
			case "post:":
				into = x.after
			default:
				if into != nil {
					into[name] = append(into[name], word)
				}
			}
		}
	})
}

// parseAliases reads lines of "alias ALIAS NAME".
func (x *index) parseAliases(content []byte) {
	lines(content, func(words []string) {
		if len(words) == 3 && words[0] == "alias" && !strings.ContainsAny(words[1], "*?[") {
			x.aliases[words[1]] = append(x.aliases[words[1]], words[2])
		}
	})
}
