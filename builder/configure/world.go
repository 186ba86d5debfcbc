package configure

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/proa-os/proa/builder/configure/accounts"
	"github.com/proa-os/proa/builder/configure/alternatives"
	"github.com/proa-os/proa/builder/configure/debian"
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

// stages are the scripts that an installation runs, in their order, with their
// arguments. Scripts that removals, upgrades and questions run are not for it.
var stages = []struct {
	name string
	args []string
}{
	{"preinst", []string{"install", ""}},
	{"postinst", []string{"configure", ""}},
	{"%pretrans", []string{"1"}},
	{"%pre", []string{"1"}},
	{"%post", []string{"1"}},
	{"%posttrans", []string{"1"}},
}

// environment is what package managers give scripts, and what an image build
// answers.
var environment = map[string]string{
	"DPKG_ROOT": "", "DEBIAN_FRONTEND": "noninteractive", "DPKG_ADMINDIR": "/var/lib/dpkg", "DEBCONF_RECONFIGURE": "", "RPM_INSTALL_PREFIX": "",
}

// follow goes through the scripts of one package.
func (w *world) follow(p packages.About) {
	w.current = &Scripts{Name: p.Name, Version: p.Version}
	w.reason, w.noted = "", map[Line]bool{}
	if p.Format == packages.Deb {
		w.reason = debian.Reason(p.Name)
	}
	for _, stage := range stages {
		for _, s := range p.Scripts {
			if name, _, _ := strings.Cut(s.When, " "); name == stage.name {
				w.current.Scripts = append(w.current.Scripts, s.When)
				w.followOne(s, stage.args)
			}
		}
	}
	for _, s := range p.Scripts {
		switch name, _, _ := strings.Cut(s.When, " "); name {
		case "%triggerprein", "%triggerin", "%filetriggerin", "%transfiletriggerin":
			w.current.Scripts = append(w.current.Scripts, s.When)
			w.triggered = true // by other packages and their files, or not
			w.followOne(s, []string{"1", "1"})
			w.triggered = false
		}
	}
	if len(w.current.Scripts) > 0 && !w.making {
		w.report.Packages = append(w.report.Packages, *w.current)
	}
}

func (w *world) followOne(s packages.Script, args []string) {
	w.script, w.umask = s.When, 0o022
	switch path.Base(strings.Fields(s.Interpreter + " /bin/sh")[0]) {
	case "sh", "bash", "dash":
		if _, options, _ := strings.Cut(s.When, " -"); !w.triggered && options != "" && strings.Contains(s.Text, "%") {
			w.noteNotDone(scripts.Command{Text: firstLine(s.Text)}, "rpm would expand the macros in it")
			return
		}
	case "ldconfig":
		w.note(&w.current.Needless, scripts.Command{Text: s.Interpreter}, onceForAll)
		return
	default:
		w.noteNotDone(scripts.Command{Text: cmp.Or(firstLine(s.Text), s.Interpreter)}, "a script for "+s.Interpreter)
		return
	}
	parsed, err := scripts.Parse(s.Text)
	if err == nil {
		err = parsed.Follow(w, args, environment)
	}
	if err != nil {
		w.noteNotDone(scripts.Command{Text: firstLine(s.Text)}, err.Error())
	}
}

func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line != "set -e" {
			return line
		}
	}
	return strings.TrimSpace(text)
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
func (p passed) Error() string  { return string(p) }

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

// Test implements scripts.World.
func (w *world) Test(op, at string) scripts.Status {
	switch {
	case !strings.HasPrefix(at, "/"):
		return scripts.Unknown
	case strings.HasPrefix(at, "/run/systemd/system"):
		return scripts.Failure // nothing runs
	case strings.HasPrefix(at, "/proc") || strings.HasPrefix(at, "/sys") || strings.HasPrefix(at, "/dev"):
		return scripts.Unknown
	}
	at = path.Clean(at)
	if op == "-L" || op == "-h" {
		n, ok := w.tree.Lookup(at)
		return scripts.Of(ok && n.Kind == tree.Symlink)
	}
	n, ok := w.tree.Resolve(at)
	if !ok {
		return scripts.Failure
	}
	switch op {
	case "-e", "-r", "-w":
		return scripts.Success
	case "-f":
		return scripts.Of(n.Kind == tree.File)
	case "-d":
		return scripts.Of(n.Kind == tree.Directory)
	case "-s":
		return scripts.Of(n.Kind == tree.Directory || n.Content.Size > 0)
	case "-x":
		return scripts.Of(n.Kind == tree.Directory || n.Mode&0o111 != 0)
	case "-p":
		return scripts.Of(n.Kind == tree.FIFO)
	case "-S":
		return scripts.Of(n.Kind == tree.Socket)
	case "-b":
		return scripts.Of(n.Kind == tree.BlockDevice)
	case "-c":
		return scripts.Of(n.Kind == tree.CharDevice)
	case "-u":
		return scripts.Of(n.Mode&0o4000 != 0)
	case "-g":
		return scripts.Of(n.Mode&0o2000 != 0)
	}
	return scripts.Unknown
}

// Which implements scripts.World.
func (w *world) Which(name string) string {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if at := path.Join(dir, name); w.Test("-x", at) == scripts.Success {
			return at
		}
	}
	return ""
}

// put makes or replaces what is at a path.
func (w *world) put(at string, n *tree.Node) error {
	n.Source = w.config.Source
	if err := w.tree.Put(at, n); err != nil {
		return fmt.Errorf("%w", err)
	}
	return nil
}
