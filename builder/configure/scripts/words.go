package scripts

import "strings"

// simple reads a simple command, or the definition of a function.
func (p *parser) simple(here at) node {
	s := &simple{at: here}
	for {
		p.blanks()
		if p.pos >= len(p.text) || p.text[p.pos] == '\n' {
			break
		}
		if r, ok := p.redirect(); ok {
			s.redirects = append(s.redirects, r)
			continue
		}
		if p.rest("(") && len(s.words) == 1 && len(s.words[0]) == 1 && s.words[0][0].kind == literal {
			p.pos++
			if p.blanks(); !p.rest(")") {
				p.fail("want ) behind the name of a function")
			}
			p.pos++
			p.skip()
			return &function{here, s.words[0][0].text, p.command()}
		}
		if p.operator() != "" {
			break
		}
		if len(s.words) == 0 {
			if name, ok := p.assignment(); ok {
				var value word
				if p.pos < len(p.text) && !strings.ContainsRune(" \t\r\n;&|<>)", rune(p.text[p.pos])) {
					value = p.word()
				}
				s.assigns = append(s.assigns, assign{name, value})
				continue
			}
		}
		s.words = append(s.words, p.word())
	}
	if len(s.words)+len(s.assigns)+len(s.redirects) == 0 {
		p.fail("want a command, not %q", p.peekWord())
	}
	p.bind(s.redirects)
	return s
}

// bind has the here-documents of a whole command filled from behind its line.
func (p *parser) bind(all []redirect) {
	for i := range all {
		r := &all[i]
		if !strings.HasPrefix(r.op, "<<") {
			continue
		}
		m := mark{tabs: r.op == "<<-"}
		for _, part := range r.target {
			m.raw = m.raw || part.quoted
			if part.kind != literal {
				p.fail("want a plain word behind %s", r.op)
			}
			if m.end += part.text; len(m.end) > maxMark {
				p.fail("the end of a text is longer than %d bytes", maxMark)
			}
		}
		r.text = &word{}
		p.pending, p.marks = append(p.pending, r), append(p.marks, m)
	}
}

func (p *parser) redirects() []redirect {
	var out []redirect
	for p.blanks(); ; p.blanks() {
		r, ok := p.redirect()
		if !ok {
			p.bind(out)
			return out
		}
		out = append(out, r)
	}
}

func (p *parser) redirect() (redirect, bool) {
	start := p.pos
	from := -1
	if p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9' {
		from = int(p.text[p.pos] - '0')
		p.pos++
	}
	op := p.operator()
	if op == "" || op[0] != '<' && op[0] != '>' && !strings.HasPrefix(op, "&>") {
		p.pos = start
		return redirect{}, false
	}
	p.pos += len(op)
	if from < 0 {
		from = 1
		if op[0] == '<' {
			from = 0
		}
	}
	p.blanks()
	// &> is bash's way to redirect errors, too.
	return redirect{from: from, op: strings.TrimPrefix(op, "&"), target: p.word()}, true
}

// assignment takes name= if that is next.
func (p *parser) assignment() (string, bool) {
	end := p.pos
	for end < len(p.text) && nameByte(p.text[end], end == p.pos) {
		end++
	}
	if end == p.pos || end == len(p.text) || p.text[end] != '=' {
		return "", false
	}
	name := p.text[p.pos:end]
	p.pos = end + 1
	return name, true
}

func nameByte(c byte, first bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || !first && c >= '0' && c <= '9'
}

// word reads one word; it must not be empty.
func (p *parser) word() word {
	defer p.enter()()
	var out word
	start := p.pos
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; c {
		case ' ', '\t', '\r', '\n', ';', '&', '|', '<', '>', '(', ')':
			if p.pos == start {
				p.fail("want a word, not %q", string(c))
			}
			return out
		case '\'':
			text, _, ok := strings.Cut(p.text[p.pos+1:], "'")
			if !ok {
				p.fail("a quote is not closed")
			}
			p.pos += len(text) + 2
			p.number += strings.Count(text, "\n")
			out = append(out, part{kind: literal, quoted: true, text: text})
		case '"':
			p.pos++
			out = append(out, part{kind: literal, quoted: true})
			out = append(out, p.quoted('"')...)
		case '\\':
			out = append(out, p.escape()...)
		case '$', '`':
			out = append(out, p.dollar(false))
		default:
			end := p.pos + 1
			for end < len(p.text) && !strings.ContainsRune(" \t\r\n;&|<>()'\"\\$`", rune(p.text[end])) {
				end++
			}
			out = append(out, part{kind: literal, text: p.text[p.pos:end]})
			p.pos = end
		}
	}
	return out
}

func (p *parser) escape() word {
	if p.pos+1 >= len(p.text) {
		p.fail("a backslash ends the script")
	}
	c := p.text[p.pos+1]
	p.pos += 2
	if c == '\n' {
		p.number++
		return nil
	}
	return word{{kind: literal, quoted: true, text: string(c)}}
}

// quoted reads up to the closing quote, or to the end for a here-document
// (quote 0).
func (p *parser) quoted(quote byte) word {
	var out word
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			out = append(out, part{kind: literal, quoted: true, text: text.String()})
			text.Reset()
		}
	}
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch {
		case quote != 0 && c == quote:
			p.pos++
			flush()
			return out
		case c == '\\' && p.pos+1 < len(p.text) && (strings.IndexByte("$`\\\n", p.text[p.pos+1]) >= 0 || quote != 0 && p.text[p.pos+1] == quote):
			if p.text[p.pos+1] == '\n' {
				p.number++
			} else {
				text.WriteByte(p.text[p.pos+1])
			}
			p.pos += 2
		case c == '$' || c == '`':
			flush()
			out = append(out, p.dollar(true))
		default:
			if c == '\n' {
				p.number++
			}
			text.WriteByte(c)
			p.pos++
		}
	}
	if quote != 0 {
		p.fail("a quote %c is not closed", quote)
	}
	flush()
	return out
}
