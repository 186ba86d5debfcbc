package sysusers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/configure/accounts"
	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/tree"
)

// maker is the state of one run.
type maker struct {
	tree     *tree.Tree
	accounts *accounts.Accounts
	day      int64
	spans    []span
	known    map[key]*Item
	tried    int // ids
	result   Result
}

type key struct {
	kind byte
	name string
}

const (
	maxItems = 10_000
	maxTried = 1 << 20 // ids that are looked at, all together
)

// Result says what was made.
type Result struct {
	Users  []string // by name, in the order that they were made in
	Groups []string
	Faults []dropin.Fault // lines that do not count
}

// systemIDs is where ids come from when no r line says otherwise; the highest
// is taken first.
var systemIDs = span{1, 999}

// Make adds what the given files (dropin.Files of sysusers.d) ask for and what
// is not there yet. Day is today's, since 1970.
func Make(t *tree.Tree, a *accounts.Accounts, files []string, day int64) (Result, error) {
	lines, err := dropin.Read(t, files...)
	if err != nil {
		return Result{}, err
	}
	m := &maker{tree: t, accounts: a, day: day}
	specifiers := dropin.NewSpecifiers(t)
	var groups, users, members []*Item
	m.known = map[key]*Item{}
	for _, l := range lines {
		item, r, err := parse(l, specifiers)
		switch {
		case err != nil:
			m.fault(l, err)
		case r != nil:
			m.spans = append(m.spans, *r)
		case item.Kind == 'm':
			members = append(members, item)
		case item.Kind == 'u':
			users = m.collect(users, item)
		default:
			groups = m.collect(groups, item)
		}
	}
	if len(m.spans) == 0 {
		m.spans = []span{systemIDs}
	}
	for _, item := range members {
		users, groups = m.implied(users, groups, item)
	}
	if len(users)+len(groups)+len(members) > maxItems {
		return Result{}, fmt.Errorf("%d users, groups and members: want at most %d", len(users)+len(groups)+len(members), maxItems)
	}
	slices.SortFunc(m.spans, func(a, b span) int { return int(int64(b.to) - int64(a.to)) })
	for _, item := range slices.Concat(groups, users) {
		if err := m.make(item); err != nil {
			m.fault(item.Line, err)
		}
	}
	for _, item := range members {
		if err := a.AddMember(item.Name, item.Group, true); err != nil {
			m.fault(item.Line, err)
		}
	}
	return m.result, nil
}

func (m *maker) fault(l dropin.Line, err error) {
	m.result.Faults = append(m.result.Faults, l.Fault("%v", err))
}

// collect keeps the first line of a name.
func (m *maker) collect(items []*Item, item *Item) []*Item {
	k := key{item.Kind, item.Name}
	if other := m.known[k]; other != nil {
		if clean(other.Line.Text) != clean(item.Line.Text) {
			m.fault(item.Line, fmt.Errorf("%s is asked for in %s:%d already", item.Name, other.Line.File, other.Line.Number))
		}
		return items
	}
	m.known[k] = item
	return append(items, item)
}

func clean(s string) string { return strings.Join(strings.Fields(s), " ") }

// implied adds the user and group that a membership speaks of.
func (m *maker) implied(users, groups []*Item, of *Item) (u, g []*Item) {
	if user := (key{'u', of.Name}); m.known[user] == nil {
		m.known[user] = &Item{Line: of.Line, Kind: 'u', Name: of.Name}
		users = append(users, m.known[user])
	}
	if group := (key{'g', of.Group}); m.known[key{'u', of.Group}] == nil && m.known[group] == nil {
		m.known[group] = &Item{Line: of.Line, Kind: 'g', Name: of.Group}
		groups = append(groups, m.known[group])
	}
	return users, groups
}

func (m *maker) make(i *Item) error {
	if i.Kind == 'g' {
		_, err := m.group(i)
		return err
	}
	if _, ok := m.accounts.User(i.Name); ok {
		if i.Group == "" {
			_, err := m.group(i)
			return err
		}
		return nil
	}
	gid, err := m.primary(i)
	if err != nil {
		return err
	}
	uid, err := m.userID(i, gid)
	if err != nil {
		return err
	}
	u := accounts.User{Name: i.Name, UID: uid, GID: gid, Comment: i.Comment, Home: i.Home, Shell: i.Shell, Password: "!*"}
	if u.Home == "" {
		u.Home = "/"
	}
	if u.Shell == "" && i.UID != nil && uid == 0 {
		u.Shell = "/bin/sh"
	} else if u.Shell == "" {
		u.Shell = "/usr/sbin/nologin"
	}
	err = m.accounts.AddUser(u, m.day)
	if err == nil {
		m.result.Users = append(m.result.Users, u.Name)
	}
	return err
}

// primary is the group of a user: the one that its line names, or one of the
// user's name.
func (m *maker) primary(i *Item) (uint32, error) {
	switch {
	case i.Group == "":
		return m.group(i)
	case i.GID != nil:
		if _, ok := m.accounts.GroupOf(*i.GID); !ok {
			return 0, fmt.Errorf("there is no group %d for user %s", *i.GID, i.Name)
		}
		return *i.GID, nil
	}
	g, ok := m.accounts.Group(i.Group)
	if !ok {
		return 0, fmt.Errorf("there is no group %s for user %s", i.Group, i.Name)
	}
	return g.GID, nil
}

func (m *maker) group(i *Item) (uint32, error) {
	if g, ok := m.accounts.Group(i.Name); ok {
		return g.GID, nil
	}
	gid, err := m.groupID(i)
	if err != nil {
		return 0, err
	}
	err = m.accounts.AddGroup(accounts.Group{Name: i.Name, GID: gid, Password: "!*"})
	if err == nil {
		m.result.Groups = append(m.result.Groups, i.Name)
	}
	return gid, err
}

func (m *maker) groupID(i *Item) (uint32, error) {
	var wanted []uint32
	if i.GID != nil {
		wanted = append(wanted, *i.GID)
	}
	if n, ok := m.owner(i.Path); ok {
		wanted = append(wanted, n.GID)
	}
	if i.UID != nil {
		wanted = append(wanted, *i.UID)
	}
	for _, id := range wanted {
		if _, taken := m.accounts.GroupOf(id); !taken {
			if user, used := m.accounts.UserOf(id); !used || user == i.Name {
				return id, nil
			}
		}
	}
	return m.free(i.Name)
}

func (m *maker) userID(i *Item, gid uint32) (uint32, error) {
	var wanted []uint32
	if i.UID != nil {
		wanted = append(wanted, *i.UID)
	}
	if n, ok := m.owner(i.Path); ok && n.UID != 0 {
		wanted = append(wanted, n.UID)
	}
	if i.Group == "" {
		wanted = append(wanted, gid)
	}
	for _, id := range wanted {
		if _, taken := m.accounts.UserOf(id); !taken {
			// With a group of its own the user may share the number of another.
			if group, used := m.accounts.GroupOf(id); i.Group != "" || !used || group == i.Name {
				return id, nil
			}
		}
	}
	return m.free(i.Name)
}

func (m *maker) owner(path string) (*tree.Node, bool) {
	if path == "" {
		return nil, false
	}
	return m.tree.Resolve(path)
}

// free is the highest id that neither a user nor a group of another name has.
func (m *maker) free(name string) (uint32, error) {
	for _, s := range m.spans {
		for id := s.to; id >= s.from && id > 0; id-- {
			if m.tried++; m.tried > maxTried {
				return 0, fmt.Errorf("no free id for %s among the first %d", name, maxTried)
			}
			user, used := m.accounts.UserOf(id)
			group, grouped := m.accounts.GroupOf(id)
			if (!used || user == name) && (!grouped || group == name) {
				return id, nil
			}
		}
	}
	return 0, fmt.Errorf("no free id for %s", name)
}
