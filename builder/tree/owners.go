package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Owners are the users and groups that a tree knows by name.
type Owners struct{ users, groups map[string]uint32 }

const maxOwnersFile = 8 << 20

// Owners reads the tree's etc/passwd and etc/group (passwd(5), group(5)). A
// missing file is an empty one, lines that cannot be read are passed over, and
// root is always known.
func (t *Tree) Owners() (*Owners, error) {
	users, err := t.readIDs("etc/passwd")
	if err != nil {
		return nil, err
	}
	groups, err := t.readIDs("etc/group")
	if err != nil {
		return nil, err
	}
	return &Owners{users, groups}, nil
}

// readIDs reads the first and third fields, which both files have in common.
func (t *Tree) readIDs(path string) (map[string]uint32, error) {
	ids := map[string]uint32{"root": 0}
	data, err := t.ReadFile(path, maxOwnersFile)
	if errors.Is(err, fs.ErrNotExist) {
		return ids, nil
	}
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimRight(line, "\n"), ":", 4)
		if len(fields) < 4 || fields[0] == "" || seen[fields[0]] {
			continue // the first line of a name counts, as for getpwnam(3)
		}
		if id, err := parseID(fields[2]); err == nil {
			ids[fields[0]], seen[fields[0]] = id, true
		}
	}
	return ids, nil
}

// User is the id of a user by name or by decimal number.
func (o *Owners) User(name string) (uint32, error) { return find("user", "etc/passwd", name, o.users) }

// Group is the id of a group by name or by decimal number.
func (o *Owners) Group(name string) (uint32, error) {
	return find("group", "etc/group", name, o.groups)
}

func find(what, file, name string, ids map[string]uint32) (uint32, error) {
	if id, ok := ids[name]; ok {
		return id, nil
	}
	if id, err := parseID(name); err == nil {
		return id, nil
	}
	return 0, fmt.Errorf("%s %s: not in the image's %s, and not a number", what, quote(name), file)
}

func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err == nil && id == 1<<32-1 {
		err = strconv.ErrRange
	}
	return uint32(id), err
}
