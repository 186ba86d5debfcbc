package accounts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/hostconfig/plan"
)

// Group makes, changes or removes a group.
func (a *Accounts) Group(g plan.Group) error {
	line := a.find(group, g.Name)
	switch {
	case g.Absent && line == nil:
		return nil
	case g.Absent:
		return a.dropGroup(line)
	case line == nil:
		if err := a.addGroup(g.Name, g.GID, nil, g.System); err != nil {
			return err
		}
	case g.GID != nil && line[2] != number(*g.GID):
		return fmt.Errorf("group %s has the id %s already: ids of what is there are not changed", g.Name, line[2])
	}
	if g.Password != "" {
		a.setPassword(gshadow, group, g.Name, g.Password)
	}
	return nil
}

// addGroup makes a group with an id or, if nothing speaks against it, a
// preferred one.
func (a *Accounts) addGroup(name string, gid, preferred *uint32, system bool) error {
	used := a.ids(group)
	switch {
	case gid != nil:
		if other := used[*gid]; other != "" {
			return fmt.Errorf("the id %d is that of group %s", *gid, other)
		}
	case preferred != nil && used[*preferred] == "":
		gid = preferred
	default:
		free, err := a.free("GID", used, system)
		if err != nil {
			return err
		}
		gid = &free
	}
	a.add(group, name, "x", number(*gid), "")
	if a.there[gshadow] && a.find(gshadow, name) == nil {
		a.add(gshadow, name, "!", "", "")
	}
	return nil
}

// setPassword puts a hash where the file with hashes is, and else into the
// other one, as the programs of the shadow suite do.
func (a *Accounts) setPassword(hashes, names int, name, hash string) {
	if line := a.find(hashes, name); line != nil {
		a.set(hashes, line, 1, hash)
		return
	}
	a.set(names, a.find(names, name), 1, hash)
}

func (a *Accounts) dropGroup(line []string) error {
	for _, user := range a.lines[passwd] {
		if len(user) >= fields[passwd] && user[3] == line[2] {
			return fmt.Errorf("group %s is the primary group of user %s", line[0], user[0])
		}
	}
	name := line[0]
	a.drop(group, name)
	a.drop(gshadow, name)
	return nil
}

// members changes the members of a group, which is field 3 in both files.
func (a *Accounts) members(of string, change func([]string) []string) {
	for _, file := range []int{group, gshadow} {
		line := a.find(file, of)
		if line == nil {
			continue
		}
		var names []string
		if line[3] != "" {
			names = strings.Split(line[3], ",")
		}
		a.set(file, line, 3, strings.Join(change(names), ","))
	}
}

func (a *Accounts) join(user, of string) error {
	if a.find(group, of) == nil {
		return fmt.Errorf("there is no group %s: give it to groups", of)
	}
	a.members(of, func(names []string) []string {
		if !slices.Contains(names, user) {
			names = append(names, user)
		}
		return names
	})
	return nil
}

// leave takes a user out of all groups but those to keep.
func (a *Accounts) leave(user string, keep []string) {
	for _, line := range slices.Clone(a.lines[group]) {
		if len(line) >= fields[group] && !slices.Contains(keep, line[0]) {
			a.members(line[0], func(names []string) []string {
				return slices.DeleteFunc(names, func(name string) bool { return name == user })
			})
		}
	}
}

// primary is the number of a group that is given by name or number.
func (a *Accounts) primary(of string) (string, error) {
	if line := a.find(group, of); line != nil {
		return line[2], nil
	}
	if n, err := id(of); err == nil {
		if a.ids(group)[n] != "" {
			return number(n), nil
		}
	}
	return "", fmt.Errorf("there is no group %s: give it to groups", of)
}
