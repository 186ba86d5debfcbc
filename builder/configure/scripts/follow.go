package scripts

import (
	"context"
	"errors"
	"strings"
)

// Status is how a command ends, as far as that can be said.
type Status uint8

// The statuses.
const (
	Unknown Status = iota
	Success
	Failure
)

// Of is Success or Failure.
func Of(ok bool) Status {
	if ok {
		return Success
	}
	return Failure
}

// Not turns Success and Failure round.
func (s Status) Not() Status {
	switch s {
	case Success:
		return Failure
	case Failure:
		return Success
	}
	return Unknown
}

// Word is a word after its expansion. The text of one that is not known is
// what the script has, for messages.
type Word struct {
	Text  string
	Known bool
}

// Redirect is one redirection of a command.
type Redirect struct {
	From   int    // file descriptor
	Op     string // such as ">>"
	Target Word
	Text   Word // of a here-document
}

// Command is a simple command that a script comes to.
type Command struct {
	Line      int // from 1
	Text      string
	Section   string // which helper generated it, such as "dh_installsystemd"
	Words     []Word
	Redirects []Redirect
	Certain   bool // a first installation is known to get here, once
	Pipe      bool // it is part of a pipeline
}

// World answers what a script asks, and makes what it can of its commands.
type World interface {
	Run(Command) Status
	// Test is a file test of test(1), such as "-e".
	Test(op, path string) Status
	// Which finds a program; empty when there is none.
	Which(name string) string
}

// What following a script may cost.
const (
	maxSteps   = 20_000
	maxCalls   = 20 // functions inside each other, and substitutions
	maxWord    = 64 << 10
	maxPattern = 4 << 10
	maxWords   = 4 << 10  // of one command
	maxWork    = 16 << 20 // bytes that are made, matched or read again, and some for each word
	wordWork   = 16
)

var errTooLong = errors.New("the script goes on for too long")

type value struct {
	text  string
	known bool
}

// flow is how control leaves a command.
type flow uint8

const (
	onward flow = iota
	exits
	returns
	breaks
	continues
)

type follower struct {
	ctx       context.Context
	script    *Script
	world     World
	name      string
	args      []value
	vars      map[string]value
	functions map[string]node
	sections  []string // by line
	lines     []string // without blanks around them

	doubt      int // conditions that are not known, around the command
	doubtFrame int // the function may have been left before
	doubtRest  int // the script may have ended before
	pipe       int
	calls      int
	nested     int // substitutions inside each other
	steps      int
	work       int
	err        error
}

// Follow goes through s as a first installation would, with the given
// arguments and environment. A script that goes on for too long, or makes too
// much of its words, is an error; what has been handed over by then stands.
func (s *Script) Follow(ctx context.Context, w World, args []string, environment map[string]string) error {
	f := &follower{ctx: ctx, script: s, world: w, vars: map[string]value{}, functions: map[string]node{}}
	for _, a := range args {
		f.args = append(f.args, value{a, true})
	}
	for name, v := range environment {
		f.vars[name] = value{v, true}
	}
	f.readSections()
	f.list(s.body)
	return f.err
}

// readSections finds what debhelper has added to a script.
func (f *follower) readSections() {
	section := ""
	for _, line := range f.script.lines {
		f.lines = append(f.lines, strings.TrimSpace(line))
		if by, ok := strings.CutPrefix(line, "# Automatically added by "); ok {
			section, _, _ = strings.Cut(by, "/")
		} else if strings.HasPrefix(line, "# End automatically added section") {
			section = ""
		}
		f.sections = append(f.sections, section)
	}
}

func (f *follower) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// spend notes work, and reports whether to go on.
func (f *follower) spend(n int) bool {
	const often = 1 << 20
	if before := f.work / often; before != (f.work+n)/often && f.ctx.Err() != nil {
		f.fail(context.Cause(f.ctx))
	}
	if f.work += n; f.work > maxWork {
		f.fail(errTooLong)
	}
	return f.err == nil
}

func (f *follower) certain() bool {
	return f.doubt == 0 && f.doubtFrame == 0 && f.doubtRest == 0
}

// maybe follows what may be come to or not.
func (f *follower) maybe(run func()) {
	f.doubt++
	run()
	f.doubt--
}

func (f *follower) list(l list) (Status, flow) {
	status := Success
	for _, n := range l {
		var left flow
		if status, left = f.node(n); left != onward {
			return status, left
		}
	}
	return status, onward
}

func (f *follower) node(n node) (Status, flow) {
	if f.steps++; f.steps > maxSteps {
		f.fail(errTooLong)
	}
	if f.ctx.Err() != nil {
		f.fail(context.Cause(f.ctx))
	}
	if f.err != nil {
		return Unknown, exits
	}
	switch n := n.(type) {
	case *simple:
		return f.simple(n)
	case *pipeline:
		return f.pipeline(n)
	case *andOr:
		return f.andOr(n)
	case *branch:
		return f.branch(n)
	case *choice:
		return f.choice(n)
	case *each:
		return f.each(n)
	case *loop:
		f.maybe(func() { f.list(n.condition); f.list(n.body) })
		return Unknown, onward
	case *function:
		f.functions[n.name] = n.body
		return Success, onward
	case *group:
		return f.group(n)
	}
	return Unknown, onward
}

// hand gives a command to the world.
func (f *follower) hand(line int, words []Word, redirects []redirect) Status {
	c := Command{Line: line, Words: words, Certain: f.certain(), Pipe: f.pipe > 0}
	if line <= len(f.lines) {
		c.Text = f.lines[line-1]
		c.Section = f.sections[line-1]
	}
	for _, r := range redirects {
		target := f.expandOne(r.target)
		out := Redirect{From: r.from, Op: r.op, Target: Word{target.text, target.known}}
		if r.text != nil {
			text := f.expandOne(*r.text)
			out.Text = Word{text.text, text.known}
		}
		c.Redirects = append(c.Redirects, out)
	}
	if f.err != nil {
		return Unknown // its words are not complete
	}
	return f.world.Run(c)
}
