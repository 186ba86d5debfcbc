package deb

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/deb/archive"
	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

const (
	maxControl        = 16 << 20 // bytes of all members
	maxControlMembers = 256
)

// Keys of About.Record. All others are members of control.tar by their names.
const (
	recordControl = "control" // the stanza
	recordList    = "list"    // of paths in the order of data.tar
)

// info is what control.tar holds.
type info struct {
	stanza  *control.Stanza
	members map[string][]byte
}

func readControl(ctx context.Context, store *content.Store, m archive.Member) (*info, error) {
	expanded, err := expand(ctx, store, m)
	if err != nil {
		return nil, err
	}
	defer expanded.Close()
	members, err := readMembers(expanded)
	if err != nil {
		return nil, err
	}
	text, ok := members[recordControl]
	if !ok {
		return nil, errors.New("no control file in it")
	}
	stanza, err := control.Single(text, maxStanza)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	return &info{stanza, members}, nil
}

// readMembers reads the files of control.tar, which all are at its top.
func readMembers(r io.Reader) (map[string][]byte, error) {
	members, sum := map[string][]byte{}, 0
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, err
		}
		name := strings.TrimPrefix(h.Name, "./")
		if h.Typeflag == tar.TypeDir && strings.Trim(name, "./") == "" {
			continue
		}
		if err := checkMember(h, name); err != nil {
			return nil, err
		}
		if _, twice := members[name]; twice || len(members) == maxControlMembers {
			return nil, fmt.Errorf("member %q: twice, or more than %d members", name, maxControlMembers)
		}
		data, err := io.ReadAll(io.LimitReader(t, int64(maxControl-sum)+1))
		if err != nil {
			return nil, err
		}
		if sum += len(data); sum > maxControl {
			return nil, fmt.Errorf("more than %d bytes in it", maxControl)
		}
		members[name] = data
	}
	// To its end, so that the checksum of the compression is looked at.
	_, err := io.Copy(io.Discard, r)
	return members, err
}

// checkMember refuses what cannot be a name in dpkg's info folder; "list" is
// dpkg's own there.
func checkMember(h *tar.Header, name string) error {
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("member %.100q of type %q: want files only", h.Name, h.Typeflag)
	}
	ok := name != "" && len(name) <= 50 && name[0] != '.' && name != recordList
	for _, c := range name {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.+", c))
	}
	if !ok {
		return fmt.Errorf("member %.100q: want letters, digits and - _ . +, at most 50, and not list", h.Name)
	}
	return nil
}

// about is what the package says, without its list of files.
func (i *info) about() (packages.About, error) {
	p, err := describe(i.stanza, control.NewParser(i.stanza.Value("Architecture")))
	if err != nil {
		return packages.About{}, err
	}
	about := packages.About{
		Format:   packages.Deb,
		Name:     p.Name,
		Version:  p.Version,
		Arch:     p.Arch,
		Source:   i.stanza.Value("Source"),
		Requires: p.Requires,
		Provides: p.Provides,
		Scripts:  i.scripts(),
		Record:   maps.Clone(i.members),
	}
	if about.Source == "" {
		about.Source = p.Name
	}
	about.Config, err = configPaths(i.members["conffiles"])
	return about, err
}

// configPaths reads conffiles (deb-conffiles(5)). What is listed only to be
// removed is not the package's.
func configPaths(text []byte) ([]string, error) {
	var paths []string
	for line := range bytes.Lines(text) {
		line := strings.TrimSpace(string(line))
		if line == "" || strings.HasPrefix(line, "remove-on-upgrade ") {
			continue
		}
		clean, err := tree.Clean(line)
		if err != nil || line[0] != '/' || clean == "." {
			return nil, fmt.Errorf("conffiles: %.200q: want an absolute path", line)
		}
		paths = append(paths, clean)
	}
	return paths, nil
}

// scripts are what the package would have run. A program that is no text has
// none here; its bytes are in the record.
func (i *info) scripts() []packages.Script {
	var scripts []packages.Script
	for _, when := range scriptNames() {
		text, ok := i.members[when]
		if !ok {
			continue
		}
		s := packages.Script{When: when, Interpreter: interpreter(text), Text: string(text)}
		if s.Interpreter == noInterpreter {
			s.Text = ""
		}
		if when == "triggers" {
			s = packages.Script{When: when, Interpreter: "<triggers>", Text: string(text)}
		}
		scripts = append(scripts, s)
	}
	return scripts
}

// scriptNames are the members that dpkg or debconf would run, in the order of
// an installation and then a removal, and triggers, by which scripts of other
// packages run.
func scriptNames() []string {
	return []string{"config", "preinst", "postinst", "triggers", "prerm", "postrm"}
}

func isScript(name string) bool { return name != "triggers" && slices.Contains(scriptNames(), name) }

const noInterpreter = "<program>"

// interpreter is the program that the first line names.
func interpreter(text []byte) string {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	command, ok := strings.CutPrefix(string(line), "#!")
	if fields := strings.Fields(command); ok && len(fields) > 0 {
		return fields[0]
	}
	return noInterpreter
}
