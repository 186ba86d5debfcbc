package scripts

import (
	"path"
	"strings"
)

// simple follows a simple command: an assignment, a function, something of the
// shell itself, or a command for the world.
func (f *follower) simple(s *simple) (Status, flow) {
	words := f.expand(s.words)
	if f.err != nil {
		return Unknown, exits
	}
	if len(words) == 0 {
		for _, a := range s.assigns {
			f.set(a.name, f.expandOne(a.value))
		}
		if len(s.redirects) > 0 {
			return f.hand(s.line(), []Word{{":", true}}, s.redirects), onward
		}
		return Success, onward
	}
	name := words[0]
	if !name.Known {
		return f.hand(s.line(), words, s.redirects), onward
	}
	if body, ok := f.functions[name.Text]; ok {
		return f.call(body, words[1:])
	}
	if status, left, ok := f.builtin(name.Text, words[1:], s); ok {
		return status, left
	}
	return f.hand(s.line(), words, s.redirects), onward
}

func (f *follower) call(body node, args []Word) (Status, flow) {
	if f.calls++; f.calls > maxCalls {
		f.fail(errTooLong)
	}
	saved, frame := f.args, f.doubtFrame
	f.args = nil
	for _, a := range args {
		f.args = append(f.args, value{a.Text, a.Known})
	}
	status, left := f.node(body)
	if f.doubtFrame > frame {
		status = Unknown
	}
	f.args, f.doubtFrame = saved, frame
	f.calls--
	if left != exits {
		left = onward
	}
	return status, left
}

// builtin follows what the shell does itself.
func (f *follower) builtin(name string, args []Word, s *simple) (status Status, left flow, ok bool) {
	switch name {
	case ":", "true":
		if f.writes(s) {
			return Unknown, onward, false
		}
		return Success, onward, true
	case "false":
		return Failure, onward, true
	case "[", "test":
		return f.test(name, args), onward, true
	case "exit", "return":
		status, left = f.leave(name, args)
		return status, left, true
	case "break", "continue":
		if !f.certain() {
			return Unknown, onward, true
		}
		if name == "continue" {
			return Success, continues, true
		}
		return Success, breaks, true
	case "shift":
		if !f.certain() {
			for i := range f.args {
				f.args[i].known = false
			}
		} else if len(f.args) > 0 {
			f.args = f.args[1:]
		}
		return Success, onward, true
	case "export", "local", "readonly", "declare", "typeset":
		for _, w := range args {
			if n, v, assigns := strings.Cut(w.Text, "="); assigns {
				f.set(n, value{v, w.Known})
			} else if name == "local" && !strings.HasPrefix(n, "-") {
				f.set(n, value{"", true})
			}
		}
		return Success, onward, true
	case "unset":
		for _, w := range args {
			f.set(w.Text, value{"", true})
		}
		return Success, onward, true
	case "set", "trap", ".", "source", "wait":
		if name == "." || name == "source" {
			f.vars["RET"] = value{"$RET", false} // debconf's answers
		}
		return Success, onward, true
	case "command", "which", "type":
		return f.command(name, args, s)
	}
	return Unknown, onward, false
}

// leave follows exit and return.
func (f *follower) leave(name string, args []Word) (Status, flow) {
	status := Unknown
	if len(args) == 0 || args[0].Known {
		status = Of(len(args) == 0 || args[0].Text == "0")
	}
	left, doubt := exits, &f.doubtRest
	if name == "return" {
		left, doubt = returns, &f.doubtFrame
	}
	if f.certain() {
		return status, left
	}
	// A script that may fail here would not have been installed; one that may
	// have ended leaves all that follows in doubt.
	if name == "return" || status != Failure {
		*doubt++
	}
	return Unknown, onward
}

// command follows the ways to ask for a program, and command NAME itself.
func (f *follower) command(name string, args []Word, s *simple) (Status, flow, bool) {
	var rest []Word
	asks := name != "command"
	for _, a := range args {
		switch {
		case len(rest) == 0 && a.Known && (a.Text == "-v" || a.Text == "-V"):
			asks = true
		case len(rest) == 0 && a.Known && strings.HasPrefix(a.Text, "-"):
		default:
			rest = append(rest, a)
		}
	}
	switch {
	case len(rest) == 0 || !rest[0].Known:
		return Unknown, onward, true
	case asks:
		return Of(f.which(rest[0].Text) != ""), onward, true
	}
	return f.hand(s.line(), rest, s.redirects), onward, true
}

func (f *follower) which(name string) string {
	if strings.HasPrefix(name, "/") {
		if f.world.Test("-x", name) == Success {
			return name
		}
		return ""
	}
	return f.world.Which(path.Base(name))
}

// writes reports whether the command writes to a file.
func (f *follower) writes(s *simple) bool {
	for _, r := range s.redirects {
		if strings.HasPrefix(r.op, ">") && r.op != ">&" && f.expandOne(r.target).text != "/dev/null" {
			return true
		}
	}
	return false
}

// set assigns to a variable. What may have been assigned is unknown.
func (f *follower) set(name string, v value) {
	if old, ok := f.vars[name]; !f.certain() && (!ok || old != v) {
		v.known = false
	}
	f.vars[name] = v
}
