// Package ignition reads configurations of Ignition, versions 3.0.0 to 3.4.0 of
// its specification, for what makes sense on a machine whose disk and kernel are
// a release's: files, folders, links, units, users and groups. Everything else
// is refused by its key.
package ignition

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/proa-os/proa/hostconfig/document"
	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// newest is the last number of the newest version 3.n.0 that is read.
const newest = 4

// Parse reads a configuration, whose name is used in faults. The error is a
// *strictyaml.Faults.
func Parse(name string, data []byte) (*plan.Plan, error) {
	root, err := document.JSON(name, data)
	if err != nil {
		return nil, err
	}
	r := &reader{Reader: document.NewReader(name), plan: &plan.Plan{}}
	top := r.Root(root).Object()
	if root.Kind != strictyaml.Map {
		return nil, r.Err()
	}
	if !r.version(top.Want("ignition").Object()) {
		return nil, r.Err() // the rest may mean anything
	}
	r.storage(top.Take("storage").Object())
	r.systemd(top.Take("systemd").Object())
	r.passwd(top.Take("passwd").Object())
	top.Refuse("the kernel's command line is a part of the signed kernel image: give it to the recipe", "kernelArguments")
	top.End()
	if err := r.Err(); err != nil {
		return nil, err
	}
	return r.plan, nil
}

// reader makes a plan of a document.
type reader struct {
	*document.Reader
	plan   *plan.Plan
	minor  int // the n of version 3.n.0
	budget document.Budget
}

var versions = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})(-[0-9A-Za-z.-]+)?$`)

// version reads the section "ignition", and reports whether it is one of ours.
func (r *reader) version(o *document.Object) bool {
	v := o.Want("version")
	text := v.Checked(func(string) error { return nil })
	parts := versions.FindStringSubmatch(text)
	switch {
	case text == "": // which is a fault already
		return false
	case parts == nil:
		v.Fault("%q: want a version such as 3.%d.0", text, newest)
		return false
	}
	r.minor, _ = strconv.Atoi(parts[2]) // the expression has it
	if parts[1] != "3" || r.minor > newest || parts[3] != "0" || parts[4] != "" {
		v.Fault("%q: want 3.0.0 to 3.%d.0", text, newest)
		return false
	}
	r.plan.Language = "ignition " + text
	o.Refuse("want the whole configuration in one: it is not merged with others and not replaced", "config")
	o.Refuse("nothing is fetched", "timeouts", "security", "proxy")
	o.End()
	return true
}

// unique reports the second of two values that must differ.
func (r *reader) unique(seen map[string]bool, v document.Value, key string) {
	if key != "" && seen[key] {
		v.Fault("%q is there twice", key)
	}
	seen[key] = true
}

func (r *reader) systemd(o *document.Object) {
	seen := map[string]bool{}
	for _, item := range o.Take("units").Items() {
		u := item.Object()
		name := u.Want("name")
		unit := plan.Unit{Place: item.Place, Name: name.Checked(plan.CheckUnit), Enabled: u.Take("enabled").Bool(), Mask: u.Take("mask").Bool()}
		r.unique(seen, name, unit.Name)
		if contents := u.Take("contents"); contents.There() {
			// As for Ignition, an empty one is none.
			if text := contents.Text(); text != "" {
				unit.Contents = &text
				r.unit(contents, text)
			}
		}
		dropins := map[string]bool{}
		for _, item := range u.Take("dropins").Items() {
			d := item.Object()
			name, contents := d.Want("name"), d.Take("contents")
			dropin := plan.Dropin{Name: name.Checked(plan.CheckDropin), Contents: contents.Text()}
			r.unique(dropins, name, dropin.Name)
			r.unit(contents, dropin.Contents)
			d.End()
			// As for Ignition, one without contents is none.
			if dropin.Contents != "" {
				unit.Dropins = append(unit.Dropins, dropin)
			}
		}
		u.End()
		r.plan.Units = append(r.plan.Units, unit)
	}
	o.End()
}

// unit checks the text of a unit or a drop-in as far as Ignition does: every
// line is a section, an assignment, a comment or goes on with the line before.
func (r *reader) unit(v document.Value, text string) {
	if err := r.budget.Take(len(text)); err != nil {
		v.Fault("%v", err)
	}
	section, goesOn := false, false
	for n, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
			continue // a comment does not end a line that goes on
		case goesOn:
		case trimmed[0] == '[' && trimmed[len(trimmed)-1] == ']':
			section = true
		case !section || strings.IndexByte(trimmed, '=') <= 0:
			v.Fault("line %d %.40q: want a section or KEY=VALUE in one, as in systemd.syntax(7)", n+1, trimmed)
			return
		}
		goesOn = strings.HasSuffix(line, `\`)
	}
}

func (r *reader) passwd(o *document.Object) {
	r.users(o.Take("users"))
	r.groups(o.Take("groups"))
	o.End()
}

func (r *reader) users(list document.Value) {
	seen := map[string]bool{}
	for _, item := range list.Items() {
		o := item.Object()
		name := o.Want("name")
		u := plan.User{
			Place: item.Place, Name: name.Checked(plan.CheckAccount), OnlyGroups: true,
			UID:         o.Take("uid").Number(plan.MostID),
			Home:        o.Take("homeDir").Checked(plan.CheckHome),
			Shell:       o.Take("shell").Checked(plan.CheckHome),
			NoHome:      o.Take("noCreateHome").Is(),
			NoUserGroup: o.Take("noUserGroup").Is(),
			System:      o.Take("system").Is(),
			Absent:      isFalse(o.Take("shouldExist")),
		}
		r.unique(seen, name, u.Name)
		o.Take("noLogInit").Bool() // neither database is written
		u.Comment = o.Take("gecos").Field()
		if hash := o.Take("passwordHash"); hash.There() {
			text := hash.Text()
			if text == "" {
				text = "*" // as for Ignition: no password
			} else if err := plan.CheckHash(text); err != nil {
				hash.Fault("%v", err)
			}
			u.Password = &text
		}
		if group := o.Take("primaryGroup"); group.There() {
			u.PrimaryGroup = group.Checked(checkGroup)
		}
		u.Groups = accounts(o.Take("groups"))
		u.Keys = keys(o.Take("sshAuthorizedKeys"))
		o.End()
		r.plan.Users = append(r.plan.Users, u)
	}
}

func (r *reader) groups(list document.Value) {
	seen := map[string]bool{}
	for _, item := range list.Items() {
		o := item.Object()
		name, hash := o.Want("name"), o.Take("passwordHash")
		g := plan.Group{
			Place: item.Place, Name: name.Checked(plan.CheckAccount),
			GID: o.Take("gid").Number(plan.MostID), System: o.Take("system").Is(), Absent: isFalse(o.Take("shouldExist")),
		}
		r.unique(seen, name, g.Name)
		if g.Password = hash.Text(); g.Password != "" {
			if err := plan.CheckHash(g.Password); err != nil {
				hash.Fault("%v", err)
			}
		}
		o.End()
		r.plan.Groups = append(r.plan.Groups, g)
	}
}

func isFalse(v document.Value) bool {
	b := v.Bool()
	return b != nil && !*b
}

// checkGroup is for the name or the number of a group.
func checkGroup(text string) error {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		if n > plan.MostID {
			return fmt.Errorf("%q: want at most %d", text, uint32(plan.MostID))
		}
		return nil
	}
	return plan.CheckAccount(text)
}

func accounts(list document.Value) []string {
	var names []string
	for _, item := range list.Items() {
		if name := item.Checked(plan.CheckAccount); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func keys(list document.Value) []string {
	var lines []string
	for _, item := range list.Items() {
		line := strings.TrimSpace(item.Text())
		if err := plan.CheckKey(line); err != nil {
			item.Fault("%v", err)
			continue
		}
		lines = append(lines, line)
	}
	return lines
}
