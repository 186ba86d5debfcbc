// Package accounts changes users and groups in a stage as useradd(8),
// usermod(8), userdel(8) and groupadd(8) do: passwd(5), group(5), shadow(5),
// gshadow(5), subuid(5) and subgid(5), homes, and keys for ssh.
//
// Load, change, Store. Lines that were there stay as they are and where they are.
package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-os/proa/hostconfig/stage"
)

// The files.
const (
	passwd = iota
	group
	shadow
	gshadow
	subuid
	subgid
	files
)

var paths = [files]string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"}

// Lines of these many fields count.
var fields = [files]int{7, 4, 9, 4, 3, 3}

const mostFile = 8 << 20

// Accounts are the users and groups of a stage.
type Accounts struct {
	stage   *stage.Stage
	lines   [files][][]string // by file, split at the colons
	there   [files]bool
	changed [files]bool
	login   settings // login.defs(5)
	useradd settings // /etc/default/useradd
	day     int64    // since 1970
}

// Load reads the accounts; day is today's, in days since 1970.
func Load(s *stage.Stage, day int64) (*Accounts, error) {
	a := &Accounts{stage: s, day: day, login: readSettings(s, "/etc/login.defs"), useradd: readSettings(s, "/etc/default/useradd")}
	for i, path := range paths {
		data, err := s.Read(path, mostFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		a.there[i] = true
		for line := range strings.Lines(string(data)) {
			a.lines[i] = append(a.lines[i], strings.Split(strings.TrimSuffix(line, "\n"), ":"))
		}
	}
	return a, nil
}

// Store puts what has changed into the stage.
func (a *Accounts) Store() error {
	for i, path := range paths {
		if !a.changed[i] {
			continue
		}
		real, err := a.stage.Resolve(path, true)
		if err != nil {
			return err
		}
		e := stage.Entry{Path: real, Kind: stage.File, Mode: 0o644}
		if i == shadow || i == gshadow {
			e.Mode = 0o600
			if g := a.find(group, "shadow"); g != nil {
				if gid, err := id(g[2]); err == nil {
					e.Mode, e.GID = 0o640, gid
				}
			}
		}
		if old, err := a.stage.Look(real); err == nil {
			e.Mode, e.UID, e.GID = old.Mode, old.UID, old.GID
		}
		var text strings.Builder
		for _, line := range a.lines[i] {
			text.WriteString(strings.Join(line, ":") + "\n")
		}
		e.Content = []byte(text.String())
		if _, err := a.stage.Put(e); err != nil {
			return err
		}
	}
	return nil
}

// find is the first line of a name; it may be changed in place.
func (a *Accounts) find(file int, name string) []string {
	for _, line := range a.lines[file] {
		if len(line) >= fields[file] && line[0] == name {
			return line
		}
	}
	return nil
}

// set changes a field of a line.
func (a *Accounts) set(file int, line []string, field int, value string) {
	if line != nil && line[field] != value {
		line[field] = value
		a.changed[file] = true
	}
}

func (a *Accounts) add(file int, line ...string) {
	a.lines[file] = append(a.lines[file], line)
	a.changed[file] = true
}

// drop removes the lines of a name.
func (a *Accounts) drop(file int, name string) {
	before := len(a.lines[file])
	a.lines[file] = slices.DeleteFunc(a.lines[file], func(line []string) bool { return line[0] == name })
	a.changed[file] = a.changed[file] || len(a.lines[file]) != before
}

// ids are those in use, of users (passwd) or groups (group).
func (a *Accounts) ids(file int) map[uint32]string {
	used := map[uint32]string{}
	for _, line := range a.lines[file] {
		if len(line) >= fields[file] {
			if n, err := id(line[2]); err == nil && used[n] == "" {
				used[n] = line[0]
			}
		}
	}
	return used
}

func id(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// UID is the id of a user.
func (a *Accounts) UID(name string) (uint32, error) {
	line := a.find(passwd, name)
	if line == nil {
		return 0, fmt.Errorf("there is no user %s", name)
	}
	return id(line[2])
}

// GID is the id of a group.
func (a *Accounts) GID(name string) (uint32, error) {
	line := a.find(group, name)
	if line == nil {
		return 0, fmt.Errorf("there is no group %s", name)
	}
	return id(line[2])
}

// settings are those of a file such as login.defs(5), or of NAME=value.
type settings map[string]string

func readSettings(s *stage.Stage, at string) settings {
	out := settings{}
	data, err := s.Read(at, mostFile)
	if err != nil {
		return out // the defaults count
	}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(strings.Replace(line, "=", " ", 1))
		if len(words) >= 2 && words[0][0] != '#' {
			out[words[0]] = words[1]
		}
	}
	return out
}

func (s settings) number(name string, otherwise uint32) uint32 {
	n, err := strconv.ParseUint(s[name], 0, 32)
	if err != nil {
		return otherwise
	}
	return uint32(n)
}

// free finds an id as useradd(8) does: the one above the highest that is used
// or, for a system's, below the lowest; at the end of the range any that is
// free.
func (a *Accounts) free(kind string, used map[uint32]string, system bool) (uint32, error) {
	low, high := a.login.number(kind+"_MIN", 1000), a.login.number(kind+"_MAX", 60000)
	if system {
		low, high = a.login.number("SYS_"+kind+"_MIN", 101), a.login.number("SYS_"+kind+"_MAX", low-1)
	}
	const most = 1 << 22 // ids are tried one by one
	if low > high || high-low > most || low == 0 {
		return 0, fmt.Errorf("/etc/login.defs has no range for %s", kind)
	}
	lowest, highest := high+1, low-1
	for n := range used {
		if n >= low && n <= high {
			lowest, highest = min(lowest, n), max(highest, n)
		}
	}
	switch {
	case system && lowest > low:
		return lowest - 1, nil
	case !system && highest < high:
		return highest + 1, nil
	}
	for i := range high - low + 1 {
		n := low + i
		if system {
			n = high - i
		}
		if used[n] == "" {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no %s from %d to %d is free", kind, low, high)
}
