package scripts

import (
	"maps"
)

func (f *follower) pipeline(p *pipeline) (Status, flow) {
	if len(p.stages) == 1 {
		status, left := f.node(p.stages[0])
		return status.Not(), left // a single stage is there for its ! only
	}
	f.pipe++
	f.maybe(func() {
		for _, stage := range p.stages {
			f.node(stage)
		}
	})
	f.pipe--
	return Unknown, onward
}

func (f *follower) andOr(a *andOr) (Status, flow) {
	left, leaves := f.node(a.left)
	if leaves != onward || left == Of(a.or) {
		return left, leaves
	}
	if left != Unknown {
		return f.node(a.right)
	}
	right := Unknown
	f.maybe(func() { right, _ = f.node(a.right) })
	if right == Of(a.or) {
		return right, onward // either way
	}
	return Unknown, onward
}

func (f *follower) branch(b *branch) (Status, flow) {
	entered := f.doubt
	defer func() { f.doubt = entered }()
	status, unsure := Success, false
	for i, body := range b.bodies {
		if !f.spend(1) {
			return Unknown, exits
		}
		is := Success // else
		if i < len(b.conditions) {
			var left flow
			if is, left = f.list(b.conditions[i]); left != onward {
				return is, left
			}
		}
		switch {
		case is == Failure:
			continue
		case is == Success && !unsure:
			return f.list(body)
		}
		unsure = true
		f.doubt++
		status = Unknown
		f.list(body)
		if is == Success {
			break
		}
	}
	return status, onward
}

func (f *follower) choice(c *choice) (Status, flow) {
	subject := f.expandOne(c.subject)
	for _, a := range c.arms {
		if !f.spend(1) {
			return Unknown, exits
		}
		if !subject.known {
			f.maybe(func() { f.list(a.body) })
			continue
		}
		for _, p := range a.patterns {
			if is := f.match(f.pattern(p), subject.text); is && f.err == nil {
				return f.list(a.body)
			}
		}
	}
	if subject.known {
		return Success, onward
	}
	return Unknown, onward
}

func (f *follower) each(e *each) (Status, flow) {
	var over []Word
	if e.in {
		over = f.expand(e.words)
	} else {
		for _, a := range f.args {
			over = append(over, Word{a.text, a.known})
		}
	}
	status := Success
	for _, w := range over {
		if !f.spend(wordWork) {
			return Unknown, exits
		}
		if !w.Known {
			f.maybe(func() {
				f.vars[e.name] = value{w.Text, false}
				f.list(e.body)
			})
			status = Unknown
			continue
		}
		f.set(e.name, value{w.Text, true})
		var left flow
		status, left = f.list(e.body)
		if left == breaks {
			break
		} else if left != onward && left != continues {
			return status, left
		}
	}
	return status, onward
}

func (f *follower) group(g *group) (Status, flow) {
	run := func() (Status, flow) { return f.list(g.body) }
	for _, r := range g.redirects {
		// The output of all its commands goes to a file: that is a command of its
		// own, and none of them is complete without it.
		if target := f.expandOne(r.target); r.op[0] == '>' && r.op != ">&" && target.text != "/dev/null" {
			f.hand(g.line(), nil, g.redirects)
			f.maybe(func() { run() })
			return Unknown, onward
		}
	}
	if !g.sub {
		return run()
	}
	if !f.spend(wordWork * (len(f.vars) + len(f.functions))) {
		return Unknown, exits
	}
	vars, args, functions := maps.Clone(f.vars), f.args, maps.Clone(f.functions)
	status, _ := run()
	f.vars, f.args, f.functions = vars, args, functions
	return status, onward
}
