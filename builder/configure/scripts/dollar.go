package scripts

import "strings"

// dollar reads what begins with $ or a backquote.
func (p *parser) dollar(quoted bool) part {
	defer p.enter()()
	if p.text[p.pos] == '`' {
		text, _, ok := strings.Cut(p.text[p.pos+1:], "`")
		if !ok {
			p.fail("a backquote is not closed")
		}
		p.pos += len(text) + 2
		p.number += strings.Count(text, "\n")
		return part{kind: substitution, quoted: quoted, text: text}
	}
	p.pos++
	if p.pos >= len(p.text) {
		return part{kind: literal, quoted: true, text: "$"}
	}
	c := p.text[p.pos]
	switch {
	case p.rest("(("):
		text := p.balanced('(', ')')
		return part{kind: arithmetic, quoted: quoted, text: text}
	case c == '(':
		return part{kind: substitution, quoted: quoted, text: p.balanced('(', ')')}
	case c == '{':
		return p.braced(quoted)
	case strings.IndexByte("@*#?-$!0123456789", c) >= 0:
		p.pos++
		return part{kind: variable, quoted: quoted, text: string(c)}
	case nameByte(c, true):
		end := p.pos
		for end < len(p.text) && nameByte(p.text[end], false) {
			end++
		}
		name := p.text[p.pos:end]
		p.pos = end
		return part{kind: variable, quoted: quoted, text: name}
	}
	return part{kind: literal, quoted: true, text: "$"}
}

// balanced takes a parenthesis up to the one that closes it, and returns what
// is in between.
func (p *parser) balanced(open, closing byte) string {
	depth, start := 0, p.pos
	quote := byte(0)
	for ; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		switch {
		case c == '\n':
			p.number++
		case c == '\\':
			p.pos++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == open:
			depth++
		case c == closing:
			if depth--; depth == 0 {
				p.pos++
				return p.text[start+1 : p.pos-1]
			}
		}
	}
	p.pos = min(p.pos, len(p.text))
	p.fail("%c is not closed", open)
	return ""
}

// braced reads ${name}, ${#name} and ${name op word}.
func (p *parser) braced(quoted bool) part {
	text := p.balanced('{', '}')
	if strings.HasPrefix(text, "#") && len(text) > 1 {
		return part{kind: arithmetic, quoted: quoted, text: text}
	}
	end := 0
	for end < len(text) && nameByte(text[end], false) {
		end++
	}
	if end == 0 && text != "" {
		end = 1 // a special parameter
	}
	out := part{kind: variable, quoted: quoted, text: text[:end]}
	rest := text[end:]
	for _, op := range []string{":-", ":+", ":=", ":?", "-", "+", "=", "?", "##", "#", "%%", "%", ""} {
		if strings.HasPrefix(rest, op) {
			out.op, rest = op, rest[len(op):]
			break
		}
	}
	if out.op == "" && rest != "" {
		out.op = "unknown"
		return out
	}
	inner := &parser{text: rest, number: p.number, depth: p.depth}
	if out.op != "" {
		out.arg = inner.braceArg(quoted && out.op[0] != '#' && out.op[0] != '%') // quotes around do not quote a pattern
	}
	return out
}

// braceArg is the word of an expansion: blanks in it are a part of it.
func (p *parser) braceArg(quoted bool) word {
	var out word
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == '"':
			p.pos++
			out = append(out, p.quoted('"')...)
		case c == '\'' && !quoted:
			out = append(out, p.word()...)
		case c == '$' || c == '`':
			out = append(out, p.dollar(quoted))
		case c == '\\':
			out = append(out, p.escape()...)
		default:
			end := p.pos + 1
			for end < len(p.text) && strings.IndexByte("\"'$`\\", p.text[end]) < 0 {
				end++
			}
			out = append(out, part{kind: literal, quoted: quoted, text: p.text[p.pos:end]})
			p.pos = end
		}
	}
	return out
}
