package sandbox

import (
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// job is one run of a script.
type job struct {
	Package     string
	Arch        string
	When        string // as reports call it
	Name        string // as dpkg calls it in the script's environment
	Interpreter []string
	Text        string
	Args        []string
	Triggered   bool // it runs at the end, once for all triggers that were activated for it
}

// phases are the scripts of a first installation, in order: all packages go
// through one phase before the next begins. That files are there before the
// first script runs is as when a system is bootstrapped.
var phases = [...]struct {
	format    packages.Format
	when      string
	args      []string
	triggered bool
}{
	{packages.RPM, "%pretrans", []string{"1"}, false},
	{packages.RPM, "%pre", []string{"1"}, false},
	{packages.Deb, "preinst", []string{"install"}, false},
	{packages.RPM, "%post", []string{"1"}, false},
	{packages.Deb, "postinst", []string{"configure", ""}, false},
	{packages.Deb, "postinst", []string{"triggered"}, true},
	{packages.RPM, "%posttrans", []string{"1"}, false},
}

// plan lists what runs, and what cannot run: scripts in Lua, which are for an
// interpreter inside of rpm.
func plan(all []packages.About) (jobs []job, skipped []Result) {
	for _, phase := range phases {
		for _, p := range all {
			for _, s := range p.Scripts {
				when, _, _ := strings.Cut(s.When, " ")
				if p.Format != phase.format || when != phase.when {
					continue
				}
				if strings.HasPrefix(s.Interpreter, "<") {
					skipped = append(skipped, Result{Package: p.Name, Script: s.When, NotRun: "it is for the interpreter " + s.Interpreter})
					continue
				}
				jobs = append(jobs, job{
					Package: p.Name, Arch: p.Arch, When: strings.TrimSpace(when + " " + strings.Join(phase.args, " ")), Name: strings.TrimPrefix(when, "%"),
					Interpreter: strings.Fields(s.Interpreter), Text: s.Text, Args: phase.args, Triggered: phase.triggered,
				})
			}
		}
	}
	return jobs, skipped
}
