package configure

import (
	"cmp"
	"context"
	"path"
	"strings"

	"github.com/proa-os/proa/builder/configure/debian"
	"github.com/proa-os/proa/builder/configure/scripts"
	"github.com/proa-os/proa/builder/packages"
)

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
func (w *world) follow(ctx context.Context, p packages.About) {
	w.current = &Scripts{Name: p.Name, Version: p.Version}
	w.reason, w.noted = "", map[Line]bool{}
	if p.Format == packages.Deb {
		w.reason = debian.Reason(p.Name)
	}
	for _, stage := range stages {
		for _, s := range p.Scripts {
			if name, _, _ := strings.Cut(s.When, " "); name == stage.name {
				w.current.Scripts = append(w.current.Scripts, s.When)
				w.followOne(ctx, s, stage.args)
			}
		}
	}
	for _, s := range p.Scripts {
		switch name, _, _ := strings.Cut(s.When, " "); name {
		case "%triggerprein", "%triggerin", "%filetriggerin", "%transfiletriggerin":
			w.current.Scripts = append(w.current.Scripts, s.When)
			w.triggered = true // by other packages and their files, or not
			w.followOne(ctx, s, []string{"1", "1"})
			w.triggered = false
		}
	}
	if len(w.current.Scripts) > 0 && !w.making {
		w.report.Packages = append(w.report.Packages, *w.current)
	}
}

func (w *world) followOne(ctx context.Context, s packages.Script, args []string) {
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
		err = parsed.Follow(ctx, w, args, environment)
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
