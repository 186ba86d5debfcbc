package accounts

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/proa-os/proa/hostconfig/plan"
)

// User makes, changes or removes a user. What a plan does not say stays as it
// is for one that is there.
func (a *Accounts) User(u plan.User) error {
	line := a.find(passwd, u.Name)
	switch {
	case u.Absent && line == nil:
		return nil
	case u.Absent:
		return a.dropUser(line)
	case u.MemberOnly:
		if line == nil {
			return fmt.Errorf("there is no user %s: give it to users", u.Name)
		}
	case line == nil:
		if err := a.addUser(u); err != nil {
			return err
		}
	default:
		if err := a.changeUser(u, line); err != nil {
			return err
		}
	}
	if u.OnlyGroups && len(u.Groups) > 0 {
		a.leave(u.Name, u.Groups)
	}
	for _, of := range u.Groups {
		if err := a.join(u.Name, of); err != nil {
			return err
		}
	}
	return a.keys(u)
}

func (a *Accounts) addUser(u plan.User) error {
	used := a.ids(passwd)
	if u.UID == nil {
		free, err := a.free("UID", used, u.System)
		if err != nil {
			return err
		}
		u.UID = &free
	} else if other := used[*u.UID]; other != "" {
		return fmt.Errorf("the id %d is that of user %s", *u.UID, other)
	}
	gid, err := a.groupOf(u)
	if err != nil {
		return err
	}
	home, err := a.home(u)
	if err != nil {
		return err
	}
	shell, err := a.shell(u.Shell)
	if err != nil {
		return err
	}
	comment := ""
	if u.Comment != nil {
		comment = *u.Comment
	}
	a.add(passwd, u.Name, "x", number(*u.UID), gid, comment, home, shell)
	a.drop(shadow, u.Name)
	a.add(shadow, a.shadowLine(u)...)
	if !u.System {
		a.subordinate(subuid, "UID", u.Name)
		a.subordinate(subgid, "GID", u.Name)
	}
	if u.NoHome {
		return nil
	}
	owner, _ := id(gid) // groupOf has read it
	return a.makeHome(home, *u.UID, owner)
}

func (a *Accounts) shadowLine(u plan.User) []string {
	hash := "*"
	switch {
	case u.Password != nil:
		hash = *u.Password
	case u.Locked:
		hash = "!"
	}
	line := []string{u.Name, hash, a.today(), "", "", "", "", "", ""}
	if !u.System {
		line[3] = cmp.Or(a.login["PASS_MIN_DAYS"], "")
		line[4] = cmp.Or(a.login["PASS_MAX_DAYS"], "")
		line[5] = cmp.Or(a.login["PASS_WARN_AGE"], "")
	}
	return line
}

// groupOf is the number of a new user's primary group, which is made if it is
// the user's own.
func (a *Accounts) groupOf(u plan.User) (string, error) {
	switch {
	case u.PrimaryGroup != "":
		return a.primary(u.PrimaryGroup)
	case u.NoUserGroup || a.login["USERGROUPS_ENAB"] == "no":
		return number(a.useradd.number("GROUP", 100)), nil
	case a.find(group, u.Name) != nil:
		return "", fmt.Errorf("there is a group %s already: name the primary group", u.Name)
	}
	if err := a.addGroup(u.Name, nil, u.UID, u.System); err != nil {
		return "", err
	}
	return a.find(group, u.Name)[2], nil
}

// shell is the shell that is asked for, or the default as far as the image has
// it.
func (a *Accounts) shell(asked string) (string, error) {
	if asked != "" {
		if !a.stage.Exists(asked) {
			return "", fmt.Errorf("the image has no shell %s", asked)
		}
		return asked, nil
	}
	if shell := cmp.Or(a.useradd["SHELL"], "/bin/bash"); a.stage.Exists(shell) {
		return shell, nil
	}
	return "/bin/sh", nil
}

// subordinate gives a user the first free range of ids in /etc/subuid or
// /etc/subgid, if there is such a file.
func (a *Accounts) subordinate(file int, kind, name string) {
	count := a.login.number("SUB_"+kind+"_COUNT", 65536)
	if !a.there[file] || count == 0 || a.find(file, name) != nil {
		return
	}
	low, high := uint64(a.login.number("SUB_"+kind+"_MIN", 100000)), uint64(a.login.number("SUB_"+kind+"_MAX", 600100000))
	for moved := true; moved; {
		moved = false
		for _, line := range a.lines[file] {
			if len(line) < fields[file] {
				continue
			}
			start, err := strconv.ParseUint(line[1], 10, 32)
			n, errCount := strconv.ParseUint(line[2], 10, 32)
			if err == nil && errCount == nil && start < low+uint64(count) && start+n > low {
				low, moved = start+n, true
			}
		}
	}
	if low+uint64(count)-1 <= high {
		a.add(file, name, strconv.FormatUint(low, 10), number(count))
	}
}

func (a *Accounts) changeUser(u plan.User, line []string) error {
	if u.UID != nil && line[2] != number(*u.UID) {
		return fmt.Errorf("user %s has the id %s already: ids of what is there are not changed", u.Name, line[2])
	}
	if u.Home != "" && line[5] != u.Home {
		return fmt.Errorf("user %s has the home %s already: homes of users that are there are not moved", u.Name, line[5])
	}
	if u.Comment != nil {
		a.set(passwd, line, 4, *u.Comment)
	}
	if u.Shell != "" {
		shell, err := a.shell(u.Shell)
		if err != nil {
			return err
		}
		a.set(passwd, line, 6, shell)
	}
	if u.PrimaryGroup != "" {
		gid, err := a.primary(u.PrimaryGroup)
		if err != nil {
			return err
		}
		a.set(passwd, line, 3, gid)
	}
	if now := a.passwordOf(line); u.Password != nil && now != *u.Password {
		a.setPassword(shadow, passwd, u.Name, *u.Password)
		a.set(shadow, a.find(shadow, u.Name), 2, a.today())
	} else if u.Locked && u.Password == nil && !strings.HasPrefix(now, "!") {
		a.setPassword(shadow, passwd, u.Name, "!"+now)
	}
	return nil
}

// today is when a password was changed. A clock that was never set gives
// nothing: 0 would mean that it must be changed at once.
func (a *Accounts) today() string {
	if a.day < 1 {
		return ""
	}
	return strconv.FormatInt(a.day, 10)
}

func (a *Accounts) passwordOf(line []string) string {
	if hash := a.find(shadow, line[0]); hash != nil {
		return hash[1]
	}
	return line[1]
}

// dropUser removes a user, and the group of its own if nobody else is in it. The
// home stays.
func (a *Accounts) dropUser(line []string) error {
	name, uid := line[0], line[2]
	if uid == "0" {
		return errors.New("root cannot be removed")
	}
	gid := line[3]
	for _, file := range []int{passwd, shadow, subuid, subgid} {
		a.drop(file, name)
	}
	a.leave(name, nil)
	own := a.find(group, name)
	if own == nil || own[2] != gid || own[3] != "" || a.login["USERGROUPS_ENAB"] == "no" {
		return nil
	}
	for _, user := range a.lines[passwd] {
		if len(user) >= fields[passwd] && user[3] == gid {
			return nil
		}
	}
	return a.dropGroup(own)
}
