package scripts

import ()

// grouped gives a compound command the redirections behind it.
func (p *parser) grouped(here at, n node) node {
	if r := p.redirects(); len(r) > 0 {
		return &group{here, list{n}, r, false}
	}
	return n
}

func (p *parser) branch(here at) node {
	p.pos += len("if")
	b := &branch{at: here}
	for {
		b.conditions = append(b.conditions, p.list())
		p.take("then")
		b.bodies = append(b.bodies, p.list())
		p.skip()
		if !p.reserved("elif") {
			break
		}
		p.pos += len("elif")
	}
	if p.reserved("else") {
		p.pos += len("else")
		b.bodies = append(b.bodies, p.list())
	}
	p.take("fi")
	return b
}

func (p *parser) choice(here at) node {
	p.pos += len("case")
	p.blanks()
	c := &choice{at: here, subject: p.word()}
	p.take("in")
	for p.skip(); !p.reserved("esac"); p.skip() {
		var a arm
		if p.rest("(") {
			p.pos++
		}
		for {
			p.blanks()
			a.patterns = append(a.patterns, p.word())
			if p.blanks(); !p.rest("|") {
				break
			}
			p.pos++
		}
		if !p.rest(")") {
			p.fail("want ) behind a pattern")
		}
		p.pos++
		a.body = p.list()
		c.arms = append(c.arms, a)
		if p.skip(); p.rest(";;") {
			p.pos += 2
		} else if !p.reserved("esac") {
			p.fail("want ;; or esac")
		}
	}
	p.take("esac")
	return c
}

func (p *parser) each(here at) node {
	p.pos += len("for")
	p.blanks()
	e := &each{at: here, name: p.peekWord()}
	p.pos += len(e.name)
	if p.skip(); p.reserved("in") {
		p.pos += len("in")
		e.in = true
		for p.blanks(); p.pos < len(p.text) && p.text[p.pos] != '\n' && p.operator() == ""; p.blanks() {
			e.words = append(e.words, p.word())
		}
	}
	if p.blanks(); p.rest(";") {
		p.pos++
	}
	e.body = p.do()
	return e
}

func (p *parser) do() list {
	p.take("do")
	body := p.list()
	p.take("done")
	return body
}
