package cloudconfig

import (
	"strconv"
	"strings"

	"github.com/proa-os/proa/hostconfig/document"
	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// groups are a list of names, or of names with members.
func (r *reader) groups(v document.Value) {
	items := []document.Value{v}
	if v.Kind() == strictyaml.List {
		items = v.Items()
	}
	for _, item := range items {
		if item.Kind() != strictyaml.Map {
			for _, name := range words(item) {
				r.group(item, name)
			}
			continue
		}
		o := item.Object()
		for _, key := range o.Keys() {
			r.group(item, key)
			members := o.Take(key)
			for _, name := range words(members) {
				r.member(members, name, key)
			}
		}
	}
}

func (r *reader) group(v document.Value, name string) {
	if err := plan.CheckAccount(name); err != nil {
		v.Fault("%v", err)
		return
	}
	r.plan.Groups = append(r.plan.Groups, plan.Group{Place: v.Place, Name: name})
}

// member makes a user, which this configuration or the image has, a member.
func (r *reader) member(v document.Value, name, of string) {
	if err := plan.CheckAccount(name); err != nil {
		v.Fault("%v", err)
		return
	}
	r.plan.Users = append(r.plan.Users, plan.User{Place: v.Place, Name: name, Groups: []string{of}, MemberOnly: true})
}

// words are the texts of a list, or the parts of a text with commas.
func words(v document.Value) []string {
	if v.Kind() == strictyaml.List {
		return v.Texts()
	}
	var names []string
	for name := range strings.SplitSeq(v.Text(), ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// texts are those of a list, or one that stands alone.
func texts(v document.Value) []string {
	if v.Kind() == strictyaml.List {
		return v.Texts()
	}
	if text := v.Text(); text != "" {
		return []string{text}
	}
	return nil
}

func (r *reader) users(list document.Value) {
	seen := map[string]bool{}
	for _, item := range list.Items() {
		if item.Kind() == strictyaml.Scalar {
			item.Fault("%q: there is no default user: want name and the rest", item.Text())
			continue
		}
		u := r.user(item)
		if seen[u.Name] {
			item.Fault("user %s is there twice", u.Name)
		}
		seen[u.Name] = true
		r.plan.Users = append(r.plan.Users, u)
	}
	// Who is only a member of a group must be there by then.
	var users, members []plan.User
	for _, u := range r.plan.Users {
		if u.MemberOnly {
			members = append(members, u)
		} else {
			users = append(users, u)
		}
	}
	r.plan.Users = append(users, members...)
}

func (r *reader) user(item document.Value) plan.User {
	o := item.Object()
	u := plan.User{
		Place: item.Place, Name: text(o.Want("name"), plan.CheckAccount).Value,
		Home:         text(o.Take("homedir"), plan.CheckHome).Value,
		Shell:        text(o.Take("shell"), plan.CheckHome).Value,
		PrimaryGroup: text(o.Take("primary_group"), plan.CheckAccount).Value,
		System:       o.Take("system").Is(),
		NoUserGroup:  o.Take("no_user_group").Is(),
	}
	// As useradd is called by cloud-init: a system's user has no home.
	u.NoHome = o.Take("no_create_home").Is() || u.System
	o.Take("no_log_init").Bool() // no such database is written
	u.UID = uid(o.Take("uid"))
	u.Comment = o.Take("gecos").Field()
	groups := o.Take("groups")
	for _, name := range words(groups) {
		if err := plan.CheckAccount(name); err != nil {
			groups.Fault("%v", err)
			continue
		}
		u.Groups = append(u.Groups, name)
	}
	u.Password, u.Locked = password(o)
	r.missing(item, o.Take("create_groups").Bool(), u)
	for _, key := range []string{"ssh_authorized_keys", "ssh-authorized-keys"} {
		v := o.Take(key)
		for _, line := range texts(v) {
			line = strings.TrimSpace(line)
			if err := plan.CheckKey(line); err != nil {
				v.Fault("%v", err)
				continue
			}
			u.Keys = append(u.Keys, line)
		}
	}
	r.sudo(u, o.Take("sudo"))
	o.Refuse("want a hash in passwd", "plain_text_passwd")
	o.Refuse("there is no network yet when a machine is configured: want the keys themselves in ssh_authorized_keys", "ssh_import_id")
	o.Refuse("not done here", "inactive", "expiredate", "selinux_user", "ssh_redirect_user", "snapuser", "doas")
	o.End()
	return u
}

// uid is a number, which cloud-init also takes as a text.
func uid(v document.Value) *uint32 {
	if v.Quoted() {
		if n, err := strconv.ParseUint(v.Text(), 10, 32); err == nil && n <= plan.MostID {
			small := uint32(n)
			return &small
		}
	}
	return v.Number(plan.MostID)
}

// missing makes the groups of a user, as far as they are not there.
func (r *reader) missing(item document.Value, create *bool, u plan.User) {
	if create != nil && !*create {
		return
	}
	for _, name := range append([]string{u.PrimaryGroup}, u.Groups...) {
		if name != "" {
			r.plan.Groups = append(r.plan.Groups, plan.Group{Place: item.Place, Name: name})
		}
	}
}

// password is the hash, if there is one, and whether it is locked: that is so
// unless lock_passwd says otherwise.
func password(o *document.Object) (hash *string, locked bool) {
	for _, key := range []string{"passwd", "hashed_passwd"} {
		v := o.Take(key)
		if text := v.Text(); text != "" {
			if err := plan.CheckHash(text); err != nil {
				v.Fault("%v", err)
			}
			hash = &text
		}
	}
	locked = true
	for _, key := range []string{"lock_passwd", "lock-passwd"} {
		if b := o.Take(key).Bool(); b != nil {
			locked = *b
		}
	}
	if hash != nil && locked && !strings.HasPrefix(*hash, "!") {
		text := "!" + *hash
		hash = &text
	}
	return hash, locked
}

// sudo is the file that cloud-init writes, one for each user.
func (r *reader) sudo(u plan.User, v document.Value) {
	if !v.There() || v.Kind() == strictyaml.Scalar && !v.Quoted() && strings.EqualFold(v.Text(), "false") {
		return
	}
	var content strings.Builder
	content.WriteString("# User rules for " + u.Name + "\n")
	rules := texts(v)
	for _, rule := range rules {
		if strings.ContainsAny(rule, "\n\r\\") || strings.TrimSpace(rule) == "" {
			v.Fault("%.60q: want a rule such as ALL=(ALL) NOPASSWD:ALL", rule)
			return
		}
		content.WriteString(u.Name + " " + rule + "\n")
	}
	mode := uint32(0o440)
	if len(rules) == 0 || u.Name == "" {
		return
	}
	r.plan.Files = append(r.plan.Files, plan.File{
		// sudo passes over names with a dot.
		Node:     plan.Node{Place: v.Place, Path: "/etc/sudoers.d/90-cloud-init-" + strings.ReplaceAll(u.Name, ".", "_"), Overwrite: true, NoFolder: true},
		Mode:     &mode,
		Contents: []byte(content.String()),
	})
}
