// Package accounts reads and writes the users and groups of a tree: passwd(5),
// group(5), shadow(5) and gshadow(5) in etc.
//
// Load them, ask and add, Store them. Lines that were there stay as they are
// and where they are: an id once given is never changed.
package accounts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// User is one line of passwd.
type User struct {
	Name     string
	UID, GID uint32
	Comment  string
	Home     string
	Shell    string
	Password string // what shadow gets: "!", "!*" or such
}

// Group is one line of group.
type Group struct {
	Name     string
	GID      uint32
	Password string // what gshadow gets
}

// The files, in the order that they are kept in.
const (
	passwd = iota
	group
	shadow
	gshadow
	files
)

var paths = [files]string{"etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"}

// Lines of these many fields count.
var fields = [files]int{7, 4, 9, 4}

const maxFile = 8 << 20

// Accounts are the users and groups of a tree.
type Accounts struct {
	lines   [files][][]string // by file, split at the colons
	there   [files]bool
	changed [files]bool

	byName [files]map[string][]string
	byID   [files]map[uint32]string // of passwd and group
}

// Load reads the accounts of a tree. A missing file is an empty one.
func Load(t *tree.Tree) (*Accounts, error) {
	a := &Accounts{}
	for i, path := range paths {
		a.byName[i], a.byID[i] = map[string][]string{}, map[uint32]string{}
		data, err := t.ReadFile(path, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		a.there[i] = true
		for line := range strings.Lines(string(data)) {
			a.append(i, strings.Split(strings.TrimSuffix(line, "\n"), ":"))
		}
	}
	return a, nil
}

// Store writes back what has changed. New files of passwords are for root, and
// for the group shadow if there is one.
func (a *Accounts) Store(t *tree.Tree, source string) error {
	for i, path := range paths {
		if !a.changed[i] {
			continue
		}
		n := &tree.Node{Kind: tree.File, Mode: 0o644, Source: source}
		if i >= shadow {
			n.Mode = 0
			if g, ok := a.Group("shadow"); ok {
				n.Mode, n.GID = 0o640, g.GID
			}
		}
		if old, ok := t.Resolve(path); ok && old.Kind == tree.File {
			n.Mode, n.UID, n.GID, n.Xattrs = old.Mode, old.UID, old.GID, old.Xattrs
		}
		var out bytes.Buffer
		for _, line := range a.lines[i] {
			out.WriteString(strings.Join(line, ":") + "\n")
		}
		n.Content = tree.Content{At: bytes.NewReader(out.Bytes()), Size: int64(out.Len())}
		if err := t.Put(path, n); err != nil {
			return err
		}
		a.there[i], a.changed[i] = true, false
	}
	return nil
}

// append adds a line. The first one of a name, and of an id, counts.
func (a *Accounts) append(file int, line []string) {
	a.lines[file] = append(a.lines[file], line)
	if len(line) < fields[file] {
		return
	}
	if a.byName[file][line[0]] == nil {
		a.byName[file][line[0]] = line
	}
	if file > group {
		return
	}
	if n, err := id(line[2]); err == nil {
		if _, known := a.byID[file][n]; !known {
			a.byID[file][n] = line[0]
		}
	}
}

func (a *Accounts) find(file int, name string) []string { return a.byName[file][name] }

// User finds a user by name.
func (a *Accounts) User(name string) (User, bool) {
	line := a.find(passwd, name)
	if line == nil {
		return User{}, false
	}
	uid, err := id(line[2])
	gid, groupErr := id(line[3])
	return User{line[0], uid, gid, line[4], line[5], line[6], line[1]}, err == nil && groupErr == nil
}

// Group finds a group by name.
func (a *Accounts) Group(name string) (Group, bool) {
	line := a.find(group, name)
	if line == nil {
		return Group{}, false
	}
	gid, err := id(line[2])
	return Group{line[0], gid, line[1]}, err == nil
}

// UserOf is the name of the user with an id.
func (a *Accounts) UserOf(uid uint32) (string, bool) { return a.nameOf(passwd, uid) }

// GroupOf is the name of the group with an id.
func (a *Accounts) GroupOf(gid uint32) (string, bool) { return a.nameOf(group, gid) }

func (a *Accounts) nameOf(file int, want uint32) (string, bool) {
	name, known := a.byID[file][want]
	return name, known
}

func id(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n >= 1<<32-1 {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

// ValidName reports whether a user or group may have the name: what systemd
// and shadow both take.
func ValidName(name string) bool {
	if name == "" || len(name) > 31 || name[0] >= '0' && name[0] <= '9' || name[0] == '-' || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func checkFields(values ...string) error {
	for _, v := range values {
		if strings.ContainsAny(v, ":\n\x00") {
			return fmt.Errorf("%q: want no colon, newline and NUL in it", v)
		}
	}
	return nil
}

// AddUser adds a user whose name and id are free; day is that of its password,
// since 1970.
func (a *Accounts) AddUser(u User, day int64) error {
	if !ValidName(u.Name) {
		return fmt.Errorf("user %q: want letters, digits, _, - and ., at most 31", u.Name)
	}
	if err := checkFields(u.Comment, u.Home, u.Shell, u.Password); err != nil {
		return fmt.Errorf("user %s: %w", u.Name, err)
	}
	if a.find(passwd, u.Name) != nil {
		return fmt.Errorf("user %s is there already", u.Name)
	}
	a.add(passwd, u.Name, "x", number(u.UID), number(u.GID), u.Comment, u.Home, u.Shell)
	if a.find(shadow, u.Name) == nil {
		a.add(shadow, u.Name, u.Password, strconv.FormatInt(day, 10), "", "", "", "", "", "")
	}
	return nil
}

// AddGroup adds a group whose name and id are free.
func (a *Accounts) AddGroup(g Group) error {
	if !ValidName(g.Name) {
		return fmt.Errorf("group %q: want letters, digits, _, - and ., at most 31", g.Name)
	}
	if a.find(group, g.Name) != nil {
		return fmt.Errorf("group %s is there already", g.Name)
	}
	a.add(group, g.Name, "x", number(g.GID), "")
	if a.find(gshadow, g.Name) == nil {
		a.add(gshadow, g.Name, g.Password, "", "")
	}
	return nil
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func (a *Accounts) add(file int, line ...string) {
	a.append(file, line)
	a.changed[file] = true
}

// AddMember makes a user a member of a group, if it is not one yet. Sorted
// says that the members are sorted then.
func (a *Accounts) AddMember(user, of string, sorted bool) error {
	if err := checkFields(user); err != nil || strings.Contains(user, ",") {
		return fmt.Errorf("member %q: want a user's name", user)
	}
	if a.find(group, of) == nil {
		return fmt.Errorf("group %s does not exist", of)
	}
	for _, file := range []int{group, gshadow} {
		line := a.find(file, of)
		if line == nil {
			continue
		}
		var members []string
		if line[3] != "" {
			members = strings.Split(line[3], ",")
		}
		if slices.Contains(members, user) {
			continue
		}
		members = append(members, user)
		if sorted {
			slices.Sort(members)
		}
		line[3] = strings.Join(members, ",")
		a.changed[file] = true
	}
	return nil
}

// Hide moves passwords out of passwd and group, as pwconv(8) and grpconv(8)
// do.
func (a *Accounts) Hide(day int64) {
	for _, line := range a.lines[passwd] {
		if len(line) < fields[passwd] || line[1] == "x" || !ValidName(line[0]) {
			continue
		}
		if a.find(shadow, line[0]) == nil {
			a.add(shadow, line[0], line[1], strconv.FormatInt(day, 10), "0", "99999", "7", "", "", "")
		}
		line[1], a.changed[passwd] = "x", true
	}
	for _, line := range a.lines[group] {
		if len(line) < fields[group] || line[1] == "x" || !ValidName(line[0]) {
			continue
		}
		if a.find(gshadow, line[0]) == nil {
			a.add(gshadow, line[0], line[1], "", line[3])
		}
		line[1], a.changed[group] = "x", true
	}
}
