package configure

import (
	"cmp"
	"path"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/configure/accounts"
)

// descending finds an id as useradd(8) does for a system: the one below the
// lowest that is used or, at the end of the range, the highest that is free.
func (w *world) descending(kind string, taken func(uint32) (string, bool)) (uint32, error) {
	settings := w.settings("etc/login.defs")
	low := number(settings["SYS_"+kind+"_MIN"], 101)
	high := number(settings["SYS_"+kind+"_MAX"], number(settings[kind+"_MIN"], 1000)-1)
	if high > 60000 || low > high {
		return 0, notDone("/etc/login.defs has no range for system ids")
	}
	lowest, free := high+1, uint32(0)
	for id := high; id >= max(low, 1); id-- {
		if _, used := taken(id); used {
			lowest = id
		} else if free == 0 {
			free = id
		}
	}
	switch {
	case lowest > low:
		return lowest - 1, nil
	case free == 0:
		return 0, notDone("there is no free id")
	}
	return free, nil
}

func number(text string, otherwise uint32) uint32 {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return otherwise
	}
	return uint32(n)
}

// settings reads a file such as login.defs(5), or of NAME=value.
func (w *world) settings(at string) map[string]string {
	out := map[string]string{}
	data, err := w.tree.ReadFile(at, maxText)
	if err != nil {
		return out // the defaults count
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(strings.Replace(line, "=", " ", 1))
		if len(fields) >= 2 && fields[0][0] != '#' {
			out[fields[0]] = fields[1]
		}
	}
	return out
}

var useraddTakes = map[string]string{
	"-u": "uid", "--uid": "uid", "-g": "gid", "--gid": "gid", "-G": "groups", "--groups": "groups", "-d": "home", "--home": "home", "--home-dir": "home",
	"-s": "shell", "--shell": "shell", "-c": "comment", "--comment": "comment", "-K": "", "--key": "", "-k": "", "--skel": "", "-e": "", "-f": "", "-p": "password", "--password": "password", "-b": "", "-R": "",
}

// doUseradd is useradd(8) for system users.
func doUseradd(w *world, c call) (status, error) {
	o := parseOptions(c.args, useraddTakes)
	uid, err := o.id("uid")
	switch {
	case err != nil:
		return unknown, err
	case len(o.plain) != 1:
		return unknown, notDone("want one user")
	case !o.flag("-r", "--system") && (uid == nil || *uid > lastAdduserID):
		return unknown, notDone("want a system user")
	}
	u := accounts.User{Name: o.plain[0], Comment: o.values["comment"], Home: o.values["home"], Shell: o.values["shell"], Password: "!"}
	if _, there := w.accounts.User(u.Name); there || !w.making {
		return ok, nil
	}
	if uid == nil {
		free, err := w.descending("UID", w.accounts.UserOf)
		if err != nil {
			return unknown, err
		}
		uid = &free
	}
	u.UID = *uid
	defaults := w.settings("etc/default/useradd")
	if u.Home == "" {
		u.Home = path.Join(cmp.Or(defaults["HOME"], "/home"), u.Name)
	}
	if u.Shell == "" {
		u.Shell = cmp.Or(defaults["SHELL"], "/bin/bash")
	}
	if u.GID, err = w.useraddGroup(o, u); err != nil {
		return unknown, err
	}
	if status, err := w.addUser(u, o.flag("-m", "--create-home")); err != nil {
		return status, err
	}
	return ok, w.addMembers(u.Name, o.values["groups"])
}

func (w *world) useraddGroup(o options, u accounts.User) (uint32, error) {
	if named, given := o.values["gid"]; given {
		return w.groupID(named)
	}
	own := w.settings("etc/login.defs")["USERGROUPS_ENAB"] == "yes" || o.flag("-U", "--user-group")
	if o.flag("-N", "--no-user-group") || !own {
		return number(w.settings("etc/default/useradd")["GROUP"], 100), nil
	}
	if g, there := w.accounts.Group(u.Name); there {
		return g.GID, nil
	}
	gid := u.UID
	if _, used := w.accounts.GroupOf(gid); used {
		free, err := w.descending("GID", w.accounts.GroupOf)
		if err != nil {
			return 0, err
		}
		gid = free
	}
	return gid, w.addGroup(accounts.Group{Name: u.Name, GID: gid, Password: "!"})
}

var groupaddTakes = map[string]string{"-g": "gid", "--gid": "gid", "-K": "", "--key": "", "-p": "", "-R": "", "-U": ""}

func doGroupadd(w *world, c call) (status, error) {
	o := parseOptions(c.args, groupaddTakes)
	if len(o.plain) != 1 {
		return unknown, notDone("want one group")
	}
	if _, there := w.accounts.Group(o.plain[0]); there || !w.making {
		return ok, nil
	}
	gid, err := o.id("gid")
	if err == nil && gid == nil {
		if !o.flag("-r", "--system") {
			return unknown, notDone("want a system group")
		}
		var free uint32
		free, err = w.descending("GID", w.accounts.GroupOf)
		gid = &free
	}
	if err != nil {
		return unknown, err
	}
	return ok, w.addGroup(accounts.Group{Name: o.plain[0], GID: *gid, Password: "!"})
}

// doUsermod is usermod -a -G, the only change that packages make.
func doUsermod(w *world, c call) (status, error) {
	o := parseOptions(c.args, map[string]string{"-G": "groups", "--groups": "groups"})
	if len(o.plain) != 1 || o.values["groups"] == "" || !o.flag("-a", "--append") {
		return unknown, notDone("only users are added to groups")
	}
	return ok, w.addMembers(o.plain[0], o.values["groups"])
}

func doGpasswd(w *world, c call) (status, error) {
	o := parseOptions(c.args, map[string]string{"-a": "user", "--add": "user"})
	if len(o.plain) != 1 || o.values["user"] == "" {
		return unknown, notDone("only users are added to groups")
	}
	return w.addMember(o.values["user"], o.plain[0])
}

// doShadowconfig is shadowconfig(8) and pwconv(8).
func doShadowconfig(w *world, c call) (status, error) {
	if w.making && !contains(c.args, "off") {
		w.accounts.Hide(w.config.day())
	}
	return ok, nil
}
