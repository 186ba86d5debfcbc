package scripts

import (
	"fmt"
	"strings"
)

// What a script may have.
const (
	maxScript = 1 << 20 // bytes
	maxDepth  = 60      // constructs inside each other
	maxMark   = 1 << 10 // bytes of what ends a here-document
)

// parser reads a script. Errors end it by panicking with a syntaxError, which
// Parse catches.
type parser struct {
	text    string
	pos     int
	number  int // of the line at pos
	depth   int
	pending []*redirect // here-documents whose text is behind the line
	marks   []mark
}

type mark struct {
	end  string
	tabs bool
	raw  bool
}

type syntaxError struct{ error }

// Parse reads a script.
func Parse(text string) (s *Script, err error) {
	if len(text) > maxScript {
		return nil, fmt.Errorf("a script of %d bytes: want at most %d", len(text), maxScript)
	}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case syntaxError:
			s, err = nil, v.error
		default:
			panic(v)
		}
	}()
	p := &parser{text: text, number: 1}
	body := p.list()
	if p.skip(); p.pos < len(p.text) {
		p.fail("unexpected %q", p.peekWord())
	}
	return &Script{body: body, lines: strings.Split(text, "\n")}, nil
}

func (p *parser) fail(format string, args ...any) {
	panic(syntaxError{fmt.Errorf("line %d: "+format, append([]any{p.number}, args...)...)})
}

// enter guards against scripts that are nested without end.
func (p *parser) enter() func() {
	if p.depth++; p.depth > maxDepth {
		p.fail("more than %d commands inside each other", maxDepth)
	}
	return func() { p.depth-- }
}

// blanks skips blanks, comments and joined lines, but no newline.
func (p *parser) blanks() {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			p.pos++
		case strings.HasPrefix(p.text[p.pos:], "\\\n"):
			p.pos += 2
			p.number++
		case c == '#':
			for p.pos < len(p.text) && p.text[p.pos] != '\n' {
				p.pos++
			}
		default:
			return
		}
	}
}

// skip skips newlines, too.
func (p *parser) skip() {
	for p.blanks(); p.pos < len(p.text) && p.text[p.pos] == '\n'; p.blanks() {
		p.newline()
	}
}

// newline takes a newline and the here-documents behind it.
func (p *parser) newline() {
	p.pos++
	p.number++
	for i, r := range p.pending {
		m := p.marks[i]
		var text strings.Builder
		for {
			if p.pos >= len(p.text) {
				p.fail("the text up to %q has no end", m.end)
			}
			line, rest, _ := strings.Cut(p.text[p.pos:], "\n")
			p.pos = len(p.text) - len(rest)
			p.number++
			if m.tabs {
				line = strings.TrimLeft(line, "\t")
			}
			if line == m.end {
				break
			}
			text.WriteString(line + "\n")
		}
		w := word{{kind: literal, quoted: true, text: text.String()}}
		if !m.raw {
			inner := &parser{text: text.String(), number: p.number, depth: p.depth}
			w = inner.quoted(0)
		}
		r.text = &w
	}
	p.pending, p.marks = nil, nil
}

func (p *parser) rest(prefix string) bool { return strings.HasPrefix(p.text[p.pos:], prefix) }

// operators in the order that the longest comes first.
var operators = []string{"&>>", "&>", "&&", "||", ";;", "<<-", "<<", "<&", ">&", ">>", ">|", "<>", "&", "|", ";", "<", ">", "(", ")"}

func (p *parser) operator() string {
	for _, op := range operators {
		if p.rest(op) {
			return op
		}
	}
	return ""
}

// peekWord is the plain text up to the next blank or operator: how reserved
// words are told.
func (p *parser) peekWord() string {
	end := p.pos
	for end < len(p.text) && !strings.ContainsRune(" \t\r\n;&|<>()", rune(p.text[end])) {
		end++
	}
	return p.text[p.pos:end]
}

func (p *parser) reserved(words ...string) bool {
	w := p.peekWord()
	for _, r := range words {
		if w == r {
			return true
		}
	}
	return false
}

// take consumes a reserved word that must be there.
func (p *parser) take(w string) {
	if p.skip(); !p.reserved(w) {
		p.fail("want %q, not %q", w, p.peekWord())
	}
	p.pos += len(w)
}

// list reads commands up to a word or operator that ends them.
func (p *parser) list() list {
	defer p.enter()()
	var out list
	for {
		p.skip()
		for p.rest(";") && !p.rest(";;") || p.rest("&") && !p.rest("&&") && !p.rest("&>") {
			p.pos++
			p.skip()
		}
		if p.pos >= len(p.text) || p.rest(")") || p.rest(";;") || p.reserved("then", "elif", "else", "fi", "do", "done", "esac", "}") {
			return out
		}
		out = append(out, p.andOr())
	}
}

func (p *parser) andOr() node {
	left := p.pipeline()
	for p.blanks(); p.rest("&&") || p.rest("||"); p.blanks() {
		or := p.rest("||")
		p.pos += 2
		p.skip()
		left = &andOr{at(left.line()), left, p.pipeline(), or}
	}
	return left
}

func (p *parser) pipeline() node {
	out := &pipeline{}
	for p.blanks(); p.reserved("!"); p.blanks() {
		p.pos++
		out.not = !out.not
	}
	for {
		out.stages = append(out.stages, p.command())
		if p.blanks(); !p.rest("|") || p.rest("||") {
			break
		}
		p.pos++
		p.skip()
	}
	out.at = at(out.stages[0].line())
	if len(out.stages) == 1 && !out.not {
		return out.stages[0]
	}
	return out
}

func (p *parser) command() node {
	defer p.enter()()
	here := at(p.number)
	switch {
	case p.rest("("):
		p.pos++
		body := p.list()
		if p.skip(); !p.rest(")") {
			p.fail("want a closing parenthesis")
		}
		p.pos++
		return &group{here, body, p.redirects(), true}
	case p.reserved("{"):
		p.pos++
		body := p.list()
		p.take("}")
		return &group{here, body, p.redirects(), false}
	case p.reserved("if"):
		return p.grouped(here, p.branch(here))
	case p.reserved("case"):
		return p.grouped(here, p.choice(here))
	case p.reserved("for"):
		return p.grouped(here, p.each(here))
	case p.reserved("while", "until"):
		p.pos += len("while")
		condition := p.list()
		return p.grouped(here, &loop{here, condition, p.do()})
	case p.reserved("function"):
		p.pos += len("function")
		p.blanks()
	case p.reserved("then", "elif", "else", "fi", "do", "done", "esac", "}", "[[", "select"):
		p.fail("unexpected %q", p.peekWord())
	}
	return p.simple(here)
}
