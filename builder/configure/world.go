package configure

import (
	"path"
	"strings"

	"github.com/proa-os/proa/builder/configure/accounts"
	"github.com/proa-os/proa/builder/configure/alternatives"
	"github.com/proa-os/proa/builder/configure/scripts"
	"github.com/proa-os/proa/builder/configure/units"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// world is the system that scripts are followed in: a tree.
type world struct {
	tree     *tree.Tree
	config   Config
	accounts *accounts.Accounts
	// making says that users and groups are made, and nothing else.
	making bool
	made   UsersReport
	homes  []accounts.User // that are still to be made

	alternatives alternatives.Set
	units        *units.Manager
	wanted       []units.Name // that packages want enabled
	report       Report

	script string // the one that is followed
	noted  map[Line]bool
	// triggered says that nothing in the script is certain to be come to.
	triggered bool
	current   *Scripts
	reason    string // why commands that are not known may be passed over
	umask     uint32
	err       error // of the tree
}

func newWorld(t *tree.Tree, c Config) (*world, error) {
	a, err := accounts.Load(t)
	if err != nil {
		return nil, err
	}
	w := &world{tree: t, config: c, accounts: a, umask: 0o022}
	w.units = &units.Manager{Tree: t, Source: c.Source}
	if c.has(packages.Deb) {
		w.units.Vendor = "/lib/systemd/system"
	}
	return w, nil
}

const maxNoted = 200 // bytes of a line in the report

// note adds a command to a list of the report, once.
func (w *world) note(list *[]Line, c scripts.Command, why string) {
	if w.making {
		return
	}
	text := c.Text
	if len(text) > maxNoted {
		text = strings.ToValidUTF8(text[:maxNoted], "") + "…"
	}
	l := Line{w.script, c.Line, text, why}
	if !w.noted[l] {
		w.noted[l] = true
		*list = append(*list, l)
	}
}

func (w *world) noteNotDone(c scripts.Command, why string) {
	if w.reason != "" {
		w.note(&w.current.Needless, c, w.reason)
		return
	}
	w.note(&w.current.NotDone, c, why)
}

// Run implements scripts.World.
func (w *world) Run(c scripts.Command) scripts.Status {
	c.Certain = c.Certain && !w.triggered
	call, known := newCall(c)
	if !known {
		w.noteNotDone(c, "its words are not known")
		return scripts.Unknown
	}
	if call.output == "" && asks(call) {
		return w.ask(call)
	}
	if why, ok := w.needless(call); ok {
		w.note(&w.current.Needless, c, why)
		return scripts.Success
	}
	do, ok := commands[call.name]
	switch {
	case !ok:
		w.noteNotDone(c, "")
		return scripts.Unknown
	case !c.Certain && w.already(call):
		w.note(&w.current.Needless, c, "it is there already")
		return scripts.Success
	case !c.Certain:
		w.noteNotDone(c, "whether it is come to depends on what is not known")
		return scripts.Unknown
	}
	status, err := do(w, call)
	switch err := err.(type) {
	case nil:
		w.note(&w.current.Done, c, "")
	case notDone:
		w.noteNotDone(c, string(err))
		return scripts.Unknown
	case passed:
		w.note(&w.current.Needless, c, string(err))
	default:
		w.noteNotDone(c, err.Error())
	}
	return status
}

// notDone and passed are the ways in which a command is not done on the tree.
type (
	notDone string // it would have to be
	passed  string // it need not be
)

func (n notDone) Error() string { return string(n) }

func (p passed) Error() string { return string(p) }

// call is a command whose words are known.
type call struct {
	name   string // without its folder
	args   []string
	output string // the file that it writes to, "" for none
	more   bool   // it appends
	input  *string
	pipe   bool
}

func newCall(c scripts.Command) (call, bool) {
	var out call
	for i, word := range c.Words {
		if i == 0 && !word.Known || !word.Known && word.Text == "" {
			return out, false
		}
	}
	if len(c.Words) == 0 {
		return out, false
	}
	out.name, out.pipe = path.Base(c.Words[0].Text), c.Pipe
	known := true
	for _, word := range c.Words[1:] {
		known = known && word.Known
		out.args = append(out.args, word.Text)
	}
	for _, r := range c.Redirects {
		known = known && r.Target.Known
		switch {
		case r.Op == "<<" || r.Op == "<<-":
			text := r.Text.Text
			out.input = &text
			known = known && r.Text.Known
		case r.Op == ">&" || r.Op == "<&" || r.Target.Text == "/dev/null" || r.From == 2:
		case r.Op[0] == '>':
			out.output, out.more = r.Target.Text, r.Op == ">>"
		case r.Op == "<":
			known = false
		}
	}
	// What only asks, and what needs nothing done, may have any words.
	if !known {
		_, free := freeWords[out.name]
		return out, free && out.output == ""
	}
	return out, true
}

// put makes or replaces what is at a path.
func (w *world) put(at string, n *tree.Node) error {
	n.Source = w.config.Source
	return w.tree.Put(at, n)
}
