package configure

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/configure/accounts"
	"github.com/proa-os/proa/builder/configure/scripts"
	"github.com/proa-os/proa/builder/tree"
)

// options are the arguments of a command that makes users: those that take a
// value by their names, the flags, and what is left.
type options struct {
	values map[string]string
	flags  map[string]bool
	plain  []string
}

// parseOptions reads arguments; takes are the options that take a value, each
// with what it is called here.
func parseOptions(args []string, takes map[string]string) options {
	o := options{map[string]string{}, map[string]bool{}, nil}
	for i := 0; i < len(args); i++ {
		a := args[i]
		name, value, joined := strings.Cut(a, "=")
		switch called, wants := takes[name]; {
		case !strings.HasPrefix(a, "-"):
			o.plain = append(o.plain, a)
		case wants && joined && strings.HasPrefix(a, "--"):
			o.values[called] = value
		case wants && i+1 < len(args):
			i++
			o.values[called] = args[i]
		case len(a) > 2 && a[1] != '-': // -rM, -rg: flags, the last of which may take a value
			for j := 1; j < len(a); j++ {
				called, wants := takes["-"+a[j:j+1]]
				if wants && j == len(a)-1 && i+1 < len(args) {
					i++
					o.values[called] = args[i]
				} else {
					o.flags["-"+a[j:j+1]] = true
				}
			}
		default:
			o.flags[a] = true
		}
	}
	return o
}

func (o options) flag(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return o.flags[n] })
}

// id is an option that is a number, nil without it.
func (o options) id(name string) (*uint32, error) {
	text, given := o.values[name]
	if !given || text == "-1" {
		return nil, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return nil, notDone(fmt.Sprintf("%q is not a number", text))
	}
	v := uint32(n)
	return &v, nil
}

// adduser(8) takes the ids of system users from here, the lowest first.
const firstAdduserID, lastAdduserID = 100, 999

func ascending(taken func(uint32) (string, bool)) (uint32, error) {
	for id := uint32(firstAdduserID); id <= lastAdduserID; id++ {
		if _, used := taken(id); !used {
			return id, nil
		}
	}
	return 0, notDone("there is no free id")
}

var adduserTakes = map[string]string{
	"--home": "home", "--shell": "shell", "--uid": "uid", "--gid": "gid", "--ingroup": "ingroup", "--gecos": "comment", "--comment": "comment",
	"--firstuid": "", "--lastuid": "", "--firstgid": "", "--lastgid": "", "--conf": "", "-h": "home", "-u": "uid", "-c": "comment",
}

// doAdduser is Debian's adduser(8): a system user, or a member of a group.
func doAdduser(w *world, c call) (status, error) {
	o := parseOptions(c.args, adduserTakes)
	if len(o.plain) == 2 && !o.flag("--system") {
		return w.addMember(o.plain[0], o.plain[1])
	}
	if o.flag("--group") && !o.flag("--system") {
		return doAddgroup(w, c)
	}
	if len(o.plain) != 1 || !o.flag("--system") {
		return unknown, notDone("want a system user")
	}
	u := accounts.User{Name: o.plain[0], Comment: o.values["comment"], Home: o.values["home"], Shell: o.values["shell"], Password: "!"}
	if _, there := w.accounts.User(u.Name); there || !w.making {
		return ok, nil
	}
	if u.Home == "" {
		u.Home = "/nonexistent"
	}
	if u.Shell == "" {
		u.Shell = "/usr/sbin/nologin"
	}
	uid, err := o.id("uid")
	if err != nil {
		return unknown, err
	}
	if uid == nil {
		free, err := ascending(w.accounts.UserOf)
		if err != nil {
			return unknown, err
		}
		uid = &free
	}
	u.UID = *uid
	if u.GID, err = w.adduserGroup(o, u.Name); err != nil {
		return unknown, err
	}
	return w.addUser(u, !o.flag("--no-create-home"))
}

// adduserGroup is the primary group of a system user: its own, one that is
// named, or nogroup.
func (w *world) adduserGroup(o options, name string) (uint32, error) {
	named := o.values["ingroup"]
	if named == "" {
		named = o.values["gid"]
	}
	switch {
	case o.flag("--group"):
		if g, there := w.accounts.Group(name); there {
			return g.GID, nil
		}
		gid, err := ascending(w.accounts.GroupOf)
		if err != nil {
			return 0, err
		}
		return gid, w.addGroup(accounts.Group{Name: name, GID: gid, Password: "!"})
	case named == "":
		named = "nogroup"
	}
	return w.groupID(named)
}

func (w *world) groupID(named string) (uint32, error) {
	if g, there := w.accounts.Group(named); there {
		return g.GID, nil
	}
	if id, err := strconv.ParseUint(named, 10, 31); err == nil {
		return uint32(id), nil
	}
	return 0, notDone("there is no group " + named)
}

func doAddgroup(w *world, c call) (status, error) {
	o := parseOptions(c.args, adduserTakes)
	if len(o.plain) == 2 {
		return w.addMember(o.plain[0], o.plain[1])
	}
	if len(o.plain) != 1 {
		return unknown, notDone("want one group")
	}
	if _, there := w.accounts.Group(o.plain[0]); there || !w.making {
		return ok, nil
	}
	gid, err := o.id("gid")
	if err == nil && gid == nil {
		var free uint32
		free, err = ascending(w.accounts.GroupOf)
		gid = &free
	}
	if err != nil {
		return unknown, err
	}
	return ok, w.addGroup(accounts.Group{Name: o.plain[0], GID: *gid, Password: "!"})
}

// already reports whether a command would make a user or a group that is there.
func (w *world) already(c call) bool {
	takes := map[string]map[string]string{"adduser": adduserTakes, "addgroup": adduserTakes, "useradd": useraddTakes, "groupadd": groupaddTakes}[c.name]
	o := parseOptions(c.args, takes)
	if takes == nil || len(o.plain) != 1 {
		return false
	}
	there := false
	if strings.Contains(c.name, "user") {
		_, there = w.accounts.User(o.plain[0])
	} else {
		_, there = w.accounts.Group(o.plain[0])
	}
	return there
}

func (w *world) addMembers(user, groups string) error {
	for _, g := range strings.FieldsFunc(groups, func(r rune) bool { return r == ',' }) {
		if _, err := w.addMember(user, g); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) addMember(user, group string) (status, error) {
	if _, there := w.accounts.User(user); !there {
		return scripts.Failure, notDone("there is no user " + user)
	}
	if _, there := w.accounts.Group(group); !there {
		return scripts.Failure, notDone("there is no group " + group)
	}
	if !w.making {
		return ok, nil
	}
	return ok, w.accounts.AddMember(user, group, false)
}

func (w *world) addGroup(g accounts.Group) error {
	if other, used := w.accounts.GroupOf(g.GID); used {
		return notDone(fmt.Sprintf("group %s has the id %d", other, g.GID))
	}
	if err := w.accounts.AddGroup(g); err != nil {
		return err
	}
	w.made.Groups = append(w.made.Groups, g.Name)
	return nil
}

func (w *world) addUser(u accounts.User, home bool) (status, error) {
	if other, used := w.accounts.UserOf(u.UID); used {
		return unknown, notDone(fmt.Sprintf("user %s has the id %d", other, u.UID))
	}
	if err := w.accounts.AddUser(u, w.config.day()); err != nil {
		return unknown, err
	}
	w.made.Users = append(w.made.Users, u.Name)
	if home && strings.HasPrefix(u.Home, "/") && u.Home != "/nonexistent" && !volatile(u.Home) {
		w.homes = append(w.homes, u)
	}
	return ok, nil
}

// makeHomes makes the homes of new users, as adduser does: those that are not
// there yet.
func (w *world) makeHomes() error {
	for _, u := range w.homes {
		at := path.Clean(u.Home)
		if _, there := w.tree.Lookup(at); there {
			continue
		}
		if err := w.put(at, &tree.Node{Kind: tree.Directory, Mode: 0o755, UID: u.UID, GID: u.GID}); err != nil {
			return fmt.Errorf("making the home of %s: %w", u.Name, err)
		}
	}
	return nil
}
