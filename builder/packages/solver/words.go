package solver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// missing tells that no package satisfies w.
func (s *story) missing(w *want) {
	r := w.f.text.Relation
	key := fmt.Sprint("missing ", s.name(w.by), " ", s.Format.Text(packages.Requirement{Relation: packages.Relation{Name: r.Name}, Joined: w.f.text.Joined, Args: w.f.text.Args}))
	chain := s.chain(w.up, w.by)
	bare := r.Name
	if s.Format == packages.Deb {
		bare = s.withoutQualifier(bare)
	}
	if w.f.text.Joined != packages.Plain {
		s.add(key, "nothing provides %s, which %s%s", s.Format.Text(w.f.text), s.needs(w), chain)
		return
	}
	if best, found := s.nearest(bare); found {
		s.add(key, "%s: the newest is %s%s", s.asks(w), best, chain)
		return
	}
	excluded, foreign := false, false
	for _, p := range s.byName[bare] {
		excluded = excluded || s.excluded[bare]
		foreign = foreign || !s.fits(s.candidate(p).Arch)
	}
	switch {
	case excluded:
		s.add(key, "excluded: %s, which %s%s", bare, s.needs(w), chain)
	case foreign:
		s.add(key, "nothing provides %s for %s, which %s%s", s.Format.Text(w.f.text), s.Arch, s.needs(w), chain)
	default:
		s.add(key, "nothing provides %s, which %s%s", s.Format.Text(w.f.text), s.needs(w), chain)
	}
}

// nearest is the newest version of what has the name.
func (s *story) nearest(name string) (string, bool) {
	var best provision
	found := false
	for _, p := range s.provided[name] {
		if p.as.Op != packages.Any && (!found || s.Format.Compare(p.as.Version, best.as.Version) > 0) {
			best, found = p, true
		}
	}
	if !found {
		return "", false
	}
	text := best.as.Version
	if s.name(best.by) != name {
		text += ", of " + s.label(best.by)
	}
	if i := s.candidate(best.by).Repository; i >= 0 && i < len(s.Repositories) && s.Repositories[i] != "" {
		text += ", in " + s.Repositories[i]
	}
	return text, true
}

// needs ends a sentence about what satisfies w: "which a needs".
func (s *story) needs(w *want) string {
	if w == nil {
		return "is needed"
	}
	if w.by < 0 {
		return "is asked for"
	}
	return s.label(w.by) + " needs"
}

// asks starts a sentence about w: "a needs b >= 2".
func (s *story) asks(w *want) string {
	if w.by < 0 {
		return s.Format.Text(w.f.text) + " is asked for"
	}
	return s.label(w.by) + " needs " + s.Format.Text(w.f.text)
}

// chain says in parentheses how p came to be needed, from what was asked for:
// " (a needs b, b needs c)". It is empty where p was asked for itself.
func (s *story) chain(w *want, p int32) string {
	var links []string
	for ; w != nil && w.by >= 0; p, w = w.by, w.up {
		link := s.asks(w)
		if !mentions(w.f.text, s.name(p)) {
			link += " from " + s.name(p)
		}
		links = append(links, link)
	}
	slices.Reverse(links)
	if len(links) == 0 {
		return ""
	}
	if len(links) > 5 {
		links = append(append(links[:2:2], "…"), links[len(links)-2:]...)
	}
	return " (" + strings.Join(links, ", ") + ")"
}

func mentions(r packages.Requirement, name string) bool {
	return r.Relation.Name == name || slices.ContainsFunc(r.Args, func(a packages.Requirement) bool { return mentions(a, name) })
}

// says is a rule of a package as a sentence.
func (s *story) says(r rule) string {
	verb := "needs"
	if r.conflict {
		verb = "conflicts with"
	}
	return s.label(r.by) + " " + verb + " " + s.Format.Text(r.f.text)
}

func (s *story) name(p int32) string {
	if p < 0 {
		return ""
	}
	return s.candidate(p).Name
}

// label is a package's name, with its version where there are several.
func (s *story) label(p int32) string {
	c := s.candidate(p)
	for _, q := range s.byName[c.Name] {
		if s.usable[q] && s.candidate(q).Version != c.Version {
			return c.Name + " " + c.Version
		}
	}
	return c.Name
}
