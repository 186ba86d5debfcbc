package configure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/configure/dropin"
)

// UsersReport says which users and groups were made, by name.
type UsersReport struct {
	Users  []string       `json:"users,omitempty"`
	Groups []string       `json:"groups,omitempty"`
	Faults []dropin.Fault `json:"faults,omitempty"` // lines of sysusers.d that do not count
}

// Add takes over what another call of Users made.
func (r *UsersReport) Add(other UsersReport) {
	r.Users = append(r.Users, other.Users...)
	r.Groups = append(r.Groups, other.Groups...)
	r.Faults = appendNew(r.Faults, other.Faults)
}

// Report says what was done in place of package scripts, and what was not. It
// is kept as JSON.
type Report struct {
	Accounts     UsersReport    `json:"accounts"`               // set by the caller: Run makes none
	Tmpfiles     []string       `json:"tmpfiles,omitempty"`     // paths that tmpfiles.d asks for
	Units        []string       `json:"units,omitempty"`        // links that enable units
	Disabled     []string       `json:"disabled,omitempty"`     // links that were taken away
	Alternatives []string       `json:"alternatives,omitempty"` // names
	Declared     []string       `json:"declared,omitempty"`     // what is done for packages whose scripts cannot be followed
	Faults       []dropin.Fault `json:"faults,omitempty"`       // lines of configuration that do not count
	Packages     []Scripts      `json:"packages,omitempty"`     // those that have scripts, in the order they were given
}

// Scripts is what became of the scripts of one package.
type Scripts struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Scripts  []string `json:"scripts"`            // as the format calls them
	Done     []Line   `json:"done,omitempty"`     // done on the tree
	Needless []Line   `json:"needless,omitempty"` // nothing to do in an image
	NotDone  []Line   `json:"notDone,omitempty"`
}

// Line is one command of a script.
type Line struct {
	Script string `json:"script"`
	Line   int    `json:"line"` // from 1; 0 is the script as a whole
	Text   string `json:"text"`
	Why    string `json:"why,omitempty"`
}

// Covered reports whether nothing is missing of what the package's scripts
// would have done.
func (s Scripts) Covered() bool { return len(s.NotDone) == 0 }

// Uncovered are the packages some of whose commands were not done.
func (r Report) Uncovered() []Scripts {
	return slices.DeleteFunc(slices.Clone(r.Packages), Scripts.Covered)
}

// shown is how many lines of a package the text has.
const shown = 5

// String is the report for people: a summary, and each package of whose
// scripts something is missing, with its first lines.
func (r Report) String() string {
	var out strings.Builder
	uncovered := r.Uncovered()
	fmt.Fprintf(&out, "%d packages have scripts, which were not run; all that they are for is done for %d of them\n", len(r.Packages), len(r.Packages)-len(uncovered))
	for _, p := range uncovered {
		fmt.Fprintf(&out, "%s %s: not done:\n", p.Name, p.Version)
		for _, l := range p.NotDone[:min(shown, len(p.NotDone))] {
			fmt.Fprintf(&out, "  %s:%d: %s", l.Script, l.Line, l.Text)
			if l.Why != "" {
				fmt.Fprintf(&out, " (%s)", l.Why)
			}
			out.WriteByte('\n')
		}
		if more := len(p.NotDone) - shown; more > 0 {
			fmt.Fprintf(&out, "  and %d more\n", more)
		}
	}
	for _, f := range r.Faults {
		fmt.Fprintf(&out, "%s\n", f)
	}
	return out.String()
}
