package manifests

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// State says what a release expects of, and does to, the data that outlives
// its slot: the content of state.json, which is an artifact of the release and,
// word for word, StatePath in its root file system.
type State struct {
	Schema int `json:"schema"` // 1
	// Migrations bring /var from one format to the next, in order and without
	// gaps; those of a product that has none are none, and its format is 1.
	Migrations []Migration `json:"migrations"`
	// Etc is what the release has in /etc, sorted by path; entries whose path is
	// not UTF-8, and those that are neither file, folder nor link, are left out.
	Etc []EtcEntry `json:"etc"`
}

// Migration brings /var to a format. It is run with "up", and when it is taken
// back with "down"; it may be cut anywhere and is then run again.
type Migration struct {
	To         int    `json:"to" yaml:"to" jsonschema:"required,description=Format of /var that it leads to from the one before; the first is 2"`
	Run        string `json:"run" yaml:"run" jsonschema:"required,description=Path of the executable in the release"`
	Reversible bool   `json:"reversible" yaml:"reversible" jsonschema:"description=Whether it can be run with down; if not then no host goes back behind it"`
}

// EtcEntry is one name in /etc. At most one of File, Link and Folder is set.
type EtcEntry struct {
	Path   string `json:"path"` // relative to the root: "etc/hosts"
	Mode   string `json:"mode"` // octal: "0644"
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	File   Digest `json:"file,omitzero"`  // of a file's content
	Link   string `json:"link,omitempty"` // target of a symbolic link
	Folder bool   `json:"folder,omitempty"`
}

const (
	// FirstVarFormat is the format of /var of a product without migrations.
	FirstVarFormat = 1

	migrationsMost = 1000
	etcMost        = 20000
)

// VarFormat is the format of /var that the release brings it to.
func (s State) VarFormat() int {
	if len(s.Migrations) == 0 {
		return FirstVarFormat
	}
	return s.Migrations[len(s.Migrations)-1].To
}

// OldestVarFormat is the oldest format that its migrations start from.
func (s State) OldestVarFormat() int {
	if len(s.Migrations) == 0 {
		return FirstVarFormat
	}
	return s.Migrations[0].To - 1
}

// ParseState reads a state.json strictly: unknown and repeated fields,
// migrations with gaps and unsorted or repeated paths are errors.
func ParseState(data []byte) (State, error) {
	var s State
	err := parseStrict(data, &s, &s.Schema, 1)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return State{}, fmt.Errorf("state: %w", err)
	}
	return s, nil
}

func (s State) check() error {
	if len(s.Migrations) > migrationsMost || len(s.Etc) > etcMost {
		return fmt.Errorf("%d migrations, %d entries of /etc: want at most %d and %d", len(s.Migrations), len(s.Etc), migrationsMost, etcMost)
	}
	if i, err := checkMigrations(s.Migrations); err != nil {
		return fmt.Errorf("migrations[%d]: %w", i, err)
	}
	for i, e := range s.Etc {
		if err := e.check(); err != nil {
			return fmt.Errorf("etc[%d]: %w", i, err)
		}
		if i > 0 && e.Path <= s.Etc[i-1].Path {
			return fmt.Errorf("etc[%d]: %q after %q: want each once, sorted", i, clip(e.Path), clip(s.Etc[i-1].Path))
		}
	}
	return nil
}

// checkMigrations also gives the number of the faulty one.
func checkMigrations(list []Migration) (int, error) {
	for i, m := range list {
		const formatMost = 1 << 30
		switch {
		case m.To <= FirstVarFormat || m.To > formatMost:
			return i, fmt.Errorf("to %d: want %d to %d", m.To, FirstVarFormat+1, formatMost)
		case i > 0 && m.To != list[i-1].To+1:
			return i, fmt.Errorf("to %d after %d: want %d", m.To, list[i-1].To, list[i-1].To+1)
		}
		if !path.IsAbs(m.Run) || path.Clean(m.Run) != m.Run || m.Run == "/" || strings.ContainsFunc(m.Run, isControl) || !utf8.ValidString(m.Run) {
			return i, fmt.Errorf("run %q: want the clean absolute path of a file in the release", clip(m.Run))
		}
	}
	return 0, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func (e EtcEntry) check() error {
	if rest, ok := strings.CutPrefix(e.Path, "etc/"); !ok || path.Clean(e.Path) != e.Path || rest == "" || rest == ".." || strings.HasPrefix(rest, "../") || strings.ContainsRune(e.Path, 0) {
		return fmt.Errorf("path %q: want a clean path below etc", clip(e.Path))
	}
	if len(e.Mode) < 4 || len(e.Mode) > 5 || e.Mode[0] != '0' || strings.Trim(e.Mode, "01234567") != "" {
		return fmt.Errorf("%s: mode %q: want octal digits from 0000 to 07777", clip(e.Path), clip(e.Mode))
	}
	kinds := 0
	for _, is := range []bool{!e.File.IsZero(), e.Link != "", e.Folder} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return fmt.Errorf("%s: want one of file, link and folder", clip(e.Path))
	}
	return nil
}

// Entry is what the release has at a path such as "etc/hosts".
func (s State) Entry(name string) (EtcEntry, bool) {
	i, found := slices.BinarySearchFunc(s.Etc, name, func(e EtcEntry, name string) int { return strings.Compare(e.Path, name) })
	if !found {
		return EtcEntry{}, false
	}
	return s.Etc[i], true
}
