package richdeps

import (
	"errors"
	"fmt"
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// parser reads from the start of rest.
type parser struct{ rest string }

// words are the connectives as they are written. Else continues if and unless.
func words() map[string]packages.Connective {
	return map[string]packages.Connective{
		"and": packages.And, "or": packages.Or, "if": packages.If, "unless": packages.Unless,
		"with": packages.With, "without": packages.Without,
	}
}

const blanks = " \t\r\n"

func (p *parser) skipSpace() { p.rest = strings.TrimLeft(p.rest, blanks) }

// operand is a rich dependency or a plain one.
func (p *parser) operand(depth int) (packages.Requirement, error) {
	p.skipSpace()
	if !strings.HasPrefix(p.rest, "(") {
		r, err := p.plain()
		if text := r.Name + r.Version; err == nil && depth > 0 && strings.Count(text, "(") != strings.Count(text, ")") {
			// Its blank ends the word, not its parentheses, and the next might not be one.
			err = fmt.Errorf("%q inside of parentheses: its own are not closed", shorten(text))
		}
		return packages.Requirement{Relation: r}, err
	}
	if depth == maxDepth {
		return packages.Requirement{}, fmt.Errorf("more than %d parentheses in each other", maxDepth)
	}
	p.rest = p.rest[1:]
	first, err := p.operand(depth + 1)
	if err != nil {
		return packages.Requirement{}, err
	}
	r := packages.Requirement{Args: []packages.Requirement{first}}
	for {
		p.skipSpace()
		if strings.HasPrefix(p.rest, ")") {
			p.rest = p.rest[1:]
			return closed(r)
		}
		if err := p.connective(&r); err != nil {
			return packages.Requirement{}, err
		}
		next, err := p.operand(depth + 1)
		if err != nil {
			return packages.Requirement{}, err
		}
		r.Args = append(r.Args, next)
	}
}

// connective reads the word between two operands, which says how r joins them.
func (p *parser) connective(r *packages.Requirement) error {
	word := p.word()
	if word == "" {
		return errors.New("a closing parenthesis is missing")
	}
	if word == "else" {
		if r.Joined != packages.If && r.Joined != packages.Unless || len(r.Args) != 2 {
			return errors.New("else belongs behind one if or unless")
		}
		return nil
	}
	joined, ok := words()[word]
	if !ok {
		return fmt.Errorf("%q: want and, or, if, unless, else, with, without or a closing parenthesis", shorten(word))
	}
	switch {
	case len(r.Args) == 1:
		r.Joined = joined
	case r.Joined != joined:
		return fmt.Errorf("%s and %s in the same parentheses", name(r.Joined), word)
	case joined != packages.And && joined != packages.Or && joined != packages.With:
		return fmt.Errorf("more than one %s in the same parentheses", word)
	}
	return nil
}

// closed checks what is in a pair of parentheses.
func closed(r packages.Requirement) (packages.Requirement, error) {
	if r.Joined == packages.Plain {
		return r.Args[0], nil
	}
	if r.Joined == packages.With || r.Joined == packages.Without {
		for _, arg := range r.Args {
			switch arg.Joined {
			case packages.Plain, packages.Or, packages.With, packages.Without:
			default:
				return packages.Requirement{}, fmt.Errorf("%s inside of %s", name(arg.Joined), name(r.Joined))
			}
		}
	}
	return r, nil
}

// plain reads a name, and a version if a comparison follows.
func (p *parser) plain() (packages.Relation, error) {
	r := packages.Relation{Name: p.word()}
	if err := checkText(r.Name, true); err != nil {
		return r, fmt.Errorf("name %w", err)
	}
	p.skipSpace()
	end := strings.IndexFunc(p.rest, func(c rune) bool { return !strings.ContainsRune("<=>", c) })
	if end < 0 {
		end = len(p.rest)
	}
	text := p.rest[:end]
	if text == "" {
		return r, nil
	}
	ops := map[string]packages.Op{"<": packages.Less, "<=": packages.LessEqual, "=<": packages.LessEqual, "=": packages.Equal,
		"==": packages.Equal, ">=": packages.GreaterEqual, "=>": packages.GreaterEqual, ">": packages.Greater}
	op, ok := ops[text]
	if !ok {
		return r, fmt.Errorf("%q: want <, <=, =, >= or >", shorten(text))
	}
	p.rest = p.rest[end:]
	p.skipSpace()
	epoch, version, found := strings.Cut(p.word(), ":")
	if !found {
		epoch, version = "", epoch
	}
	evr, err := EVR(epoch, version, "")
	r.Op, r.Version = op, evr
	return r, err
}

// word reads to a blank, or to a closing parenthesis that was not opened in it:
// "libc.so.6(GLIBC_2.2)(64bit)" is one word.
func (p *parser) word() string {
	open := 0
	end := strings.IndexFunc(p.rest, func(c rune) bool {
		switch c {
		case '(':
			open++
		case ')':
			open--
		}
		return open < 0 || strings.ContainsRune(blanks, c)
	})
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

func name(c packages.Connective) string {
	for word, joined := range words() {
		if joined == c {
			return word
		}
	}
	return ""
}
