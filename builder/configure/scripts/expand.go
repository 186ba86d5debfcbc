package scripts

import (
	"path"
	"strconv"
	"strings"
)

// expand makes the words that a command is called with.
func (f *follower) expand(words []word) []Word {
	var out []Word
	for _, w := range words {
		if out = append(out, f.fields(w)...); len(out) > maxWords {
			f.fail(errTooLong)
		}
		if f.err != nil {
			return nil
		}
	}
	return out
}

// fields expands one word, which can become none or several.
func (f *follower) fields(w word) []Word {
	var out []Word
	current := Word{Known: true}
	began := false
	flush := func() {
		if began {
			out = append(out, current)
			f.spend(wordWork)
		}
		current, began = Word{Known: true}, false
	}
	add := func(text string) {
		if f.spend(len(current.Text) + len(text)) {
			current.Text += text
		}
	}
	for i, p := range w {
		if !f.spend(wordWork) {
			return nil
		}
		switch {
		case p.kind == literal:
			began = true
			add(p.text)
			if !p.quoted && (strings.ContainsAny(p.text, "*?[") && p.text != "[" || i == 0 && strings.HasPrefix(p.text, "~")) {
				current.Known = false // the names of files
			}
		case p.quoted && p.kind == variable && p.text == "@":
			for j, a := range f.args {
				if j > 0 {
					flush()
				}
				began = true
				add(a.text)
				current.Known = current.Known && a.known
			}
			if len(f.args) == 0 && len(w) > 2 {
				began = true
			} else if len(f.args) == 0 {
				return out
			}
		default:
			v := f.value(p)
			current.Known = current.Known && v.known
			if p.quoted || !v.known {
				began = true
				add(v.text)
				break
			}
			for j, field := range strings.FieldsFunc(v.text, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' }) {
				if j > 0 || strings.TrimLeft(v.text, " \t\n") != v.text {
					flush()
				}
				began = true
				add(field)
				if len(out) > maxWords {
					break
				}
			}
			if strings.TrimRight(v.text, " \t\n") != v.text {
				flush()
			}
		}
		if len(current.Text) > maxWord {
			current = Word{Text: "…"}
		}
	}
	flush()
	return out
}

// expandOne expands a word where it stays one: in assignments and such.
func (f *follower) expandOne(w word) value {
	out := value{known: true}
	for _, p := range w {
		v := value{p.text, true}
		if p.kind != literal {
			v = f.value(p)
		}
		if !f.spend(wordWork + len(out.text) + len(v.text)) {
			return value{"…", false}
		}
		out.text += v.text
		out.known = out.known && v.known
		if len(out.text) > maxWord {
			return value{"…", false}
		}
	}
	return out
}

// pattern makes a pattern for match of a word. One that is too long ends all.
func (f *follower) pattern(w word) string {
	var out strings.Builder
	for _, p := range w {
		v := value{p.text, true}
		if p.kind != literal {
			v = f.value(p)
		}
		if len(v.text)+out.Len() > maxPattern {
			f.fail(errTooLong)
		}
		if !f.spend(wordWork + len(v.text)) {
			return ""
		}
		if !p.quoted {
			out.WriteString(v.text)
			continue
		}
		for _, c := range []byte(v.text) {
			out.WriteByte('\\')
			out.WriteByte(c)
		}
	}
	return out.String()
}

// value is what a part that is not literal stands for.
func (f *follower) value(p part) value {
	switch p.kind {
	case substitution:
		return f.output(p.text)
	case arithmetic:
		return value{"$(( ))", false}
	}
	v := f.parameter(p.text)
	switch p.op {
	case "":
		return v
	case ":-", "-", ":=", "=":
		if v.known && v.text == "" {
			return f.expandOne(p.arg)
		}
		return v
	case ":+", "+":
		if v.known && v.text != "" {
			return f.expandOne(p.arg)
		}
		return v
	case "#", "##", "%", "%%":
		if v.known {
			v.text = f.trim(v.text, f.pattern(p.arg), p.op)
		}
		return v
	}
	return value{"$" + p.text, v.known && v.text != "" && strings.HasSuffix(p.op, "?")}
}

func (f *follower) parameter(name string) value {
	switch name {
	case "@", "*":
		all := value{known: true}
		for i, a := range f.args {
			if i > 0 {
				all.text += " "
			}
			if !f.spend(wordWork+len(all.text)+len(a.text)) || len(all.text)+len(a.text) > maxWord {
				return value{"$" + name, false}
			}
			all.text += a.text
			all.known = all.known && a.known
		}
		return all
	case "#":
		return value{strconv.Itoa(len(f.args)), true}
	case "?", "$", "!", "-", "0":
		return value{"$" + name, false}
	}
	if n, err := strconv.Atoi(name); err == nil {
		switch {
		case n < 1: // 00 is the name of the script, too
			return value{"$" + name, false}
		case n > len(f.args):
			return value{"", true}
		}
		return f.args[n-1]
	}
	if v, ok := f.vars[name]; ok {
		if !v.known {
			v.text = "$" + name
		}
		return v
	}
	return value{"$" + name, false}
}

// trim takes a prefix or a suffix off, the shortest or the longest.
func (f *follower) trim(text, pattern, op string) string {
	for i := range len(text) + 1 {
		n := i
		if f.err != nil {
			break
		}
		if len(op) == 2 {
			n = len(text) - i
		}
		if op[0] == '#' && f.match(pattern, text[:n]) {
			return text[n:]
		}
		if op[0] == '%' && f.match(pattern, text[len(text)-n:]) {
			return text[:len(text)-n]
		}
	}
	return text
}

// match is the pattern matching of case: * and ? match any byte, also a slash.
func (f *follower) match(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		cost := 1
		if p < len(pattern) && pattern[p] == '[' {
			cost = wordWork + len(pattern) - p
		}
		if !f.spend(cost) {
			return false
		}
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, t
			p++
			continue
		}
		if n, ok := matchOne(pattern[p:], text[t]); ok {
			p += n
			t++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, t = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one byte, and returns the length of the pattern for it.
func matchOne(pattern string, c byte) (int, bool) {
	switch {
	case pattern == "":
		return 0, false
	case pattern[0] == '?':
		return 1, true
	case pattern[0] == '\\' && len(pattern) > 1:
		return 2, pattern[1] == c
	case pattern[0] != '[':
		return 1, pattern[0] == c
	}
	end := strings.IndexByte(pattern[min(2, len(pattern)):], ']')
	if end < 0 {
		return 1, c == '['
	}
	end += 3
	ok, err := path.Match(strings.Replace(pattern[:end], "[!", "[^", 1), string(rune(c)))
	return end, err == nil && ok
}

// output is what a command prints, where that is known.
func (f *follower) output(text string) value {
	if f.nested++; f.nested > maxCalls {
		f.fail(errTooLong)
	}
	defer func() { f.nested-- }()
	if !f.spend(wordWork + len(text)) {
		return value{"$()", false}
	}
	unknown := value{"$(" + strings.Join(strings.Fields(text), " ") + ")", false}
	s, err := Parse(text)
	if err != nil || len(s.body) != 1 {
		return unknown
	}
	n := s.body[0]
	if either, ok := n.(*andOr); ok && either.or {
		n = either.left // … || true
	}
	c, ok := n.(*simple)
	if !ok {
		return unknown
	}
	words := f.expand(c.words)
	for _, w := range words {
		if !w.Known {
			return unknown
		}
	}
	switch {
	case len(words) == 3 && words[0].Text == "command" && words[1].Text == "-v":
		return value{f.which(words[2].Text), true}
	case len(words) == 2 && words[0].Text == "which":
		return value{f.which(words[1].Text), true}
	case len(words) == 2 && words[0].Text == "uname" && words[1].Text == "-s":
		return value{"Linux", true}
	case len(words) == 2 && words[0].Text == "dirname":
		return value{path.Dir(words[1].Text), true}
	case len(words) == 2 && words[0].Text == "basename":
		return value{path.Base(words[1].Text), true}
	case len(words) == 3 && words[0].Text == "basename":
		return value{strings.TrimSuffix(path.Base(words[1].Text), words[2].Text), true}
	case len(words) > 1 && words[0].Text == "echo" && !strings.HasPrefix(words[1].Text, "-"):
		text := words[1].Text
		for _, w := range words[2:] {
			if !f.spend(len(text)+len(w.Text)) || len(text)+len(w.Text) > maxWord {
				return unknown
			}
			text += " " + w.Text
		}
		return value{text, true}
	case len(words) == 2 && words[0].Text == "id" && words[1].Text == "-u":
		return value{"0", true}
	}
	return unknown
}
