package deb

import (
	"bytes"
	"crypto/md5" // what dpkg's database records, not what vouches for anything
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// statusFields is the order in which dpkg writes the fields it knows; others
// follow as they were in the package.
func statusFields() []string {
	return []string{
		"Package", "Essential", "Protected", "Status", "Priority", "Section", "Installed-Size", "Origin", "Maintainer",
		"Bugs", "Architecture", "Multi-Arch", "Source", "Version", "Replaces", "Provides", "Depends", "Pre-Depends",
		"Recommends", "Suggests", "Breaks", "Conflicts", "Enhances", "Conffiles", "Description",
	}
}

// installed is a package of the database.
type installed struct {
	payload *packages.Payload
	stanza  *control.Stanza
	files   map[string]*tree.Node // by clean path
	lost    map[string]bool       // paths that another package has taken over
}

func newInstalled(p *packages.Payload) (*installed, error) {
	stanza, err := control.Single(p.Record[recordControl], maxStanza)
	if err != nil {
		return nil, fmt.Errorf("package %s: its control: %w", p.Name, err)
	}
	if err := control.CheckName(p.Name); err != nil {
		return nil, err
	}
	i := &installed{payload: p, stanza: stanza, files: map[string]*tree.Node{}, lost: map[string]bool{}}
	for _, e := range p.Entries {
		path, err := tree.Clean(e.Path)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", p.Name, err)
		}
		n := e.Node
		if n == nil {
			target, err := tree.Clean(e.Link)
			if err != nil {
				return nil, fmt.Errorf("package %s: %w", p.Name, err)
			}
			n = i.files[target]
		}
		i.files[path] = n
	}
	return i, nil
}

// disown takes from each package the files that only another one that replaces
// it has, as dpkg does.
func disown(all []*installed) {
	owners := map[string]*installed{}
	for _, i := range all {
		for _, path := range slices.Sorted(maps.Keys(i.files)) {
			if n := i.files[path]; n == nil || n.Kind == tree.Directory {
				continue
			}
			other := owners[path]
			switch {
			case other == nil || Replaces(&i.payload.About, &other.payload.About, path):
				owners[path] = i
				if other != nil {
					other.lost[path] = true
				}
			case Replaces(&other.payload.About, &i.payload.About, path):
				i.lost[path] = true
			}
		}
	}
}

// list is the package's list of paths.
func (i *installed) list() []byte {
	all := i.payload.Record[recordList]
	if len(i.lost) == 0 {
		return all
	}
	var left bytes.Buffer
	for line := range bytes.Lines(all) {
		if !i.lost[strings.Trim(string(line), "/\n")] {
			left.Write(line)
		}
	}
	return left.Bytes()
}

// base is what the names of its files in the info folder start with, and what
// other files of the database call it: a package that may be there for several
// architectures has its own in the name.
func (i *installed) base() string {
	if i.stanza.Value("Multi-Arch") == "same" {
		return i.payload.Name + ":" + i.payload.Arch
	}
	return i.payload.Name
}

// status is its stanza in the status file.
func (i *installed) status() (string, error) {
	conffiles, err := i.conffiles()
	if err != nil {
		return "", err
	}
	known := map[string]string{"Status": "install ok installed", "Conffiles": conffiles}
	var others strings.Builder
	order := statusFields()
	for name, value := range i.stanza.All() {
		at := slices.IndexFunc(order, func(known string) bool { return strings.EqualFold(known, name) })
		switch {
		case at < 0:
			fmt.Fprintf(&others, "%s: %s\n", name, value)
		case order[at] != "Status" && order[at] != "Conffiles":
			known[order[at]] = value
		}
	}
	for _, flag := range []string{"Essential", "Protected", "Multi-Arch"} {
		if known[flag] == "no" {
			delete(known, flag) // what is meant without it, too
		}
	}
	var text strings.Builder
	for _, name := range order {
		switch value := known[name]; {
		case value == "":
		case name == "Conffiles":
			fmt.Fprintf(&text, "%s:%s\n", name, value)
		case name == "Description":
			fmt.Fprintf(&text, "%s: %s\n", name, value)
		default:
			fmt.Fprintf(&text, "%s: %s\n", name, strings.Join(strings.Fields(value), " "))
		}
	}
	return text.String() + others.String(), nil
}

// conffiles are lines of paths and the MD5 of what the package brought.
func (i *installed) conffiles() (string, error) {
	var text strings.Builder
	for _, path := range i.payload.Config {
		sum, ok, err := i.md5(path)
		if err != nil {
			return "", err
		}
		if ok {
			fmt.Fprintf(&text, "\n /%s %s", path, sum)
		}
	}
	return text.String(), nil
}

// md5 is the digest of a file; of other nodes there is none.
func (i *installed) md5(path string) (string, bool, error) {
	n := i.files[path]
	if n == nil || n.Kind != tree.File {
		return "", false, nil
	}
	sum := md5.New()
	if n.Content.Size > 0 {
		if _, err := io.Copy(sum, n.Content.Open()); err != nil {
			return "", false, fmt.Errorf("package %s: reading %s: %w", i.payload.Name, path, err)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), true, nil
}

// md5sums is what the package has for dpkg --verify, made like dpkg does where
// it has nothing: of all files, in their order.
func (i *installed) md5sums() ([]byte, error) {
	if text, ok := i.payload.Record["md5sums"]; ok {
		return text, nil
	}
	var text strings.Builder
	for line := range bytes.Lines(i.payload.Record[recordList]) {
		path := strings.Trim(string(line), "/\n")
		sum, ok, err := i.md5(path)
		if err != nil {
			return nil, err
		}
		if ok {
			fmt.Fprintf(&text, "%s  %s\n", sum, path)
		}
	}
	return []byte(text.String()), nil
}
