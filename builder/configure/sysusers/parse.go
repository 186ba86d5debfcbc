// Package sysusers makes the users and groups that sysusers.d(5) files ask
// for, as systemd-sysusers(8) does: the same ids, in the same order.
package sysusers

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/configure/accounts"
	"github.com/proa-os/proa/builder/configure/dropin"
)

// Item is one line: a user (u), a group (g) or a membership (m).
type Item struct {
	Line  dropin.Line
	Kind  byte
	Name  string
	Group string // of m, and of u the primary group by name

	UID, GID *uint32 // asked for
	Path     string  // whose owner gives the ids

	Comment, Home, Shell string
}

// span is a range of ids (r), both ends included.
type span struct{ from, to uint32 }

// parse reads one line.
func parse(l dropin.Line, s dropin.Specifiers) (*Item, *span, error) {
	words, err := dropin.Words(l.Text, 6, false)
	if err != nil {
		return nil, nil, err
	}
	for len(words) < 6 {
		words = append(words, "")
	}
	for i, w := range words {
		if w == "-" {
			words[i] = ""
		} else if words[i], err = s.Expand(w); err != nil {
			return nil, nil, err
		}
	}
	kind := strings.TrimSuffix(words[0], "!")
	if kind == "r" {
		r, err := parseSpan(words[2])
		return nil, r, err
	}
	item := &Item{Line: l, Name: words[1], Comment: words[3], Home: words[4], Shell: words[5]}
	if !accounts.ValidName(item.Name) {
		return nil, nil, fmt.Errorf("name %q: want letters, digits, _, - and ., at most 31", item.Name)
	}
	switch kind {
	case "u":
		err = item.parseUserID(words[2])
	case "g":
		err = item.parseGroupID(words[2])
	case "m":
		if item.Group = words[2]; !accounts.ValidName(item.Group) {
			err = fmt.Errorf("group %q: want a name", item.Group)
		}
	default:
		return nil, nil, fmt.Errorf("type %q: want u, g, m or r", words[0])
	}
	if kind != "u" && (item.Comment != "" || item.Home != "" || item.Shell != "") {
		return nil, nil, fmt.Errorf("a line of type %s has no comment, home and shell", kind)
	}
	if item.Home != "" && !strings.HasPrefix(item.Home, "/") || item.Shell != "" && !strings.HasPrefix(item.Shell, "/") {
		return nil, nil, fmt.Errorf("home %q, shell %q: want absolute paths", item.Home, item.Shell)
	}
	item.Kind = kind[0]
	return item, nil, err
}

func (i *Item) parseUserID(s string) error {
	switch {
	case s == "":
		return nil
	case strings.HasPrefix(s, "/"):
		i.Path = s
		return nil
	}
	user, group, both := strings.Cut(s, ":")
	if user != "" && user != "-" {
		id, err := parseID(user)
		if err != nil {
			return err
		}
		i.UID = &id
	}
	if !both {
		i.GID = i.UID
		return nil
	}
	if id, err := parseID(group); err == nil {
		i.GID, i.Group = &id, group
		return nil
	}
	if i.Group = group; !accounts.ValidName(group) {
		return fmt.Errorf("id %q: want a number or a name behind the colon", s)
	}
	return nil
}

func (i *Item) parseGroupID(s string) error {
	switch {
	case s == "":
		return nil
	case strings.HasPrefix(s, "/"):
		i.Path = s
		return nil
	}
	id, err := parseID(s)
	i.GID = &id
	return err
}

func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	// 65535 and 4294967295 stand for "none" in 16 and 32 bits.
	if err != nil || id == 1<<16-1 || id == 1<<32-1 {
		return 0, fmt.Errorf("id %q: want a number below 4294967295 that is not 65535", s)
	}
	return uint32(id), nil
}

func parseSpan(s string) (*span, error) {
	low, high, both := strings.Cut(s, "-")
	if !both {
		high = low
	}
	from, err := parseID(low)
	if err != nil {
		return nil, err
	}
	to, err := parseID(high)
	if err == nil && from > to {
		err = fmt.Errorf("range %q: want the lower id first", s)
	}
	return &span{from, to}, err
}
