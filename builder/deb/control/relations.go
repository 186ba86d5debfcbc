package control

import (
	"errors"
	"fmt"
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// Parser reads relations. It keeps every name and clause that it has seen, so
// that the many packages of an archive share them.
type Parser struct {
	arch    string
	clauses map[string]clause
	strings map[string]string
}

// clause is what stands between two commas: alternatives.
type clause struct {
	wanted packages.Requirement
	holds  bool // else it is for other architectures or build profiles
}

// NewParser reads relations as they are for one architecture, such as "amd64".
func NewParser(arch string) *Parser {
	return &Parser{arch: arch, clauses: map[string]clause{}, strings: map[string]string{}}
}

// Intern is b as a string that is shared with others of the same content.
func (p *Parser) Intern(b []byte) string {
	if s, ok := p.strings[string(b)]; ok {
		return s
	}
	s := string(b)
	p.strings[s] = s
	return s
}

// Requirements reads a field such as Depends: clauses between commas, each of
// alternatives. What is restricted to other architectures ([…]) or to a build
// profile (<…>) is left out; no profile is active. "a:any" and "a:native" are
// "a"; another architecture's package keeps that in its name, "a:i386", which
// nothing provides.
func (p *Parser) Requirements(field []byte) ([]packages.Requirement, error) {
	if len(field) == 0 {
		return nil, nil
	}
	all := make([]packages.Requirement, 0, strings.Count(string(field), ",")+1)
	for part := range strings.SplitSeq(string(field), ",") {
		part = strings.TrimSpace(part)
		known, ok := p.clauses[part]
		if !ok {
			var err error
			if known, err = p.clause(part); err != nil {
				return nil, err
			}
			p.clauses[strings.Clone(part)] = known
		}
		if known.holds {
			all = append(all, known.wanted)
		}
	}
	return all, nil
}

func (p *Parser) clause(text string) (clause, error) {
	var options []packages.Requirement
	for part := range strings.SplitSeq(text, "|") {
		relation, holds, err := p.relation(strings.TrimSpace(part))
		if err != nil {
			return clause{}, err
		}
		if holds {
			options = append(options, packages.Requirement{Relation: relation})
		}
	}
	switch len(options) {
	case 0:
		return clause{}, nil
	case 1:
		return clause{options[0], true}, nil
	}
	return clause{packages.Requirement{Joined: packages.Or, Args: options}, true}, nil
}

// Relations reads a field that has no alternatives, such as Provides or
// Replaces.
func (p *Parser) Relations(field []byte) ([]packages.Relation, error) {
	wanted, err := p.Requirements(field)
	if err != nil {
		return nil, err
	}
	all := make([]packages.Relation, len(wanted))
	for i, w := range wanted {
		if w.Joined != packages.Plain {
			return nil, fmt.Errorf("%.60q: want no alternatives (|) here", w.Args[0].Relation.Name)
		}
		all[i] = w.Relation
	}
	return all, nil
}

// Conflicts is Requirements for fields that have no alternatives.
func (p *Parser) Conflicts(field []byte) ([]packages.Requirement, error) {
	if _, err := p.Relations(field); err != nil {
		return nil, err
	}
	return p.Requirements(field)
}

// relation reads "name[:arch] [(op version)] [[arch …]] [<profile …> …]".
func (p *Parser) relation(text string) (packages.Relation, bool, error) {
	refuse := func(err error) (packages.Relation, bool, error) {
		return packages.Relation{}, false, fmt.Errorf("relation %.100q: %w", text, err)
	}
	end := strings.IndexAny(text, " \t\r\n([<")
	if end < 0 {
		end = len(text)
	}
	name, err := p.qualified(text[:end])
	if err != nil {
		return refuse(err)
	}
	r := packages.Relation{Name: name}
	rest := strings.TrimSpace(text[end:])
	if inside, behind, ok := enclosed(rest, '(', ')'); ok {
		if r.Op, r.Version, err = p.version(inside); err != nil {
			return refuse(err)
		}
		rest = behind
	}
	holds := true
	if inside, behind, ok := enclosed(rest, '[', ']'); ok {
		if holds, err = matchesArch(inside, p.arch); err != nil {
			return refuse(err)
		}
		rest = behind
	}
	profiles, restricted := false, false
	for {
		inside, behind, ok := enclosed(rest, '<', '>')
		if !ok {
			break
		}
		restricted, rest = true, behind
		profiles = profiles || withoutProfiles(inside)
	}
	if rest != "" {
		return refuse(fmt.Errorf("%.40q: want (op version), [architectures] and <profiles>, in that order", rest))
	}
	return r, holds && (profiles || !restricted), nil
}

// qualified reads "name" or "name:arch".
func (p *Parser) qualified(text string) (string, error) {
	name, arch, found := strings.Cut(text, ":")
	if err := CheckName(name); err != nil {
		return "", err
	}
	if !found || arch == "any" || arch == "native" || arch == p.arch {
		return p.Intern([]byte(name)), nil
	}
	if err := CheckArch(arch); err != nil {
		return "", err
	}
	return p.Intern([]byte(text)), nil
}

// version reads "op version". A single < or > is an old way to write <= or >=.
func (p *Parser) version(text string) (packages.Op, string, error) {
	end := 0
	for end < len(text) && strings.IndexByte("<=>", text[end]) >= 0 {
		end++
	}
	var op packages.Op
	switch text[:end] {
	case "<<":
		op = packages.Less
	case "<=", "<":
		op = packages.LessEqual
	case "=":
		op = packages.Equal
	case ">=", ">":
		op = packages.GreaterEqual
	case ">>":
		op = packages.Greater
	default:
		return 0, "", fmt.Errorf("(%.40s): want one of << <= = >= >> and a version", text)
	}
	version := strings.TrimSpace(text[end:])
	if err := CheckVersion(version); err != nil {
		return 0, "", err
	}
	return op, p.Intern([]byte(version)), nil
}

// enclosed cuts "(inside) behind".
func enclosed(text string, open, shut byte) (inside, behind string, ok bool) {
	if text == "" || text[0] != open {
		return "", "", false
	}
	end := strings.IndexByte(text, shut)
	if end < 0 {
		return "", "", false
	}
	return strings.TrimSpace(text[1:end]), strings.TrimSpace(text[end+1:]), true
}

// matchesArch reads a list such as "amd64 linux-any" or "!i386 !armhf".
func matchesArch(list, arch string) (bool, error) {
	names := strings.Fields(list)
	if len(names) == 0 {
		return false, errors.New("[]: want architectures in it")
	}
	matched := false
	negated := strings.HasPrefix(names[0], "!")
	for _, name := range names {
		positive, not := strings.CutPrefix(name, "!")
		if not != negated {
			return false, fmt.Errorf("[%.40s]: want all of them with ! or none", list)
		}
		if err := CheckArch(positive); err != nil {
			return false, err
		}
		switch positive {
		case "any", "linux-any", arch, "any-" + arch, "linux-" + arch:
			matched = true
		}
	}
	return matched != negated, nil
}

// withoutProfiles reports whether a list such as "!nocheck" holds while no
// build profile is active.
func withoutProfiles(list string) bool {
	for _, term := range strings.Fields(list) {
		if !strings.HasPrefix(term, "!") {
			return false
		}
	}
	return true
}
