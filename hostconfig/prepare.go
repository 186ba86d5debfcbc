package hostconfig

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/proa-os/proa/hostconfig/accounts"
	"github.com/proa-os/proa/hostconfig/document"
	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/hostconfig/stage"
	"github.com/proa-os/proa/hostconfig/units"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// preparation is a plan that is being held against a root. Each step works on
// what the steps before it left in the stage.
type preparation struct {
	*document.Reader
	plan     *plan.Plan
	before   *Record // of the configuration before this one; nil: none
	day      int64
	stage    *stage.Stage
	accounts *accounts.Accounts
	files    []RecordedFile
	taken    map[string]string // paths that are given, and as what
}

// Prepare holds a plan against a root file system. name is the configuration's,
// for faults; before is the record of the one before it, if there was one. The
// error is a *strictyaml.Faults with everything that cannot be done.
func Prepare(root *os.Root, name string, p *plan.Plan, before *Record, now time.Time) (*Work, error) {
	return prepare(stage.New(root), name, p, before, now)
}

func prepare(s *stage.Stage, name string, p *plan.Plan, before *Record, now time.Time) (*Work, error) {
	const secondsOfDay = 24 * 60 * 60
	a, err := accounts.Load(s, now.Unix()/secondsOfDay)
	if err != nil {
		return nil, err
	}
	w := &preparation{
		Reader: document.NewReader(name), plan: p, before: before,
		stage: s, accounts: a, taken: map[string]string{},
	}
	for _, step := range []func() error{w.makeGroups, w.makeUsers, w.makeFiles, w.makeUnits, w.makeNames} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if err := w.Err(); err != nil {
		return nil, err
	}
	work := &Work{
		Schema:  workSchema,
		Record:  Record{Schema: RecordSchema, Language: p.Language, Files: w.files},
		Changes: s.Changes(),
	}
	if _, err := work.encode(); err != nil {
		w.Fault(plan.Place{Position: strictyaml.Position{Line: 1, Column: 1}}, "%v", err)
		return nil, w.Err()
	}
	return work, nil
}

// note makes an error a fault at a place.
func (w *preparation) note(at plan.Place, err error) bool {
	if err != nil {
		w.Fault(at, "%v", err)
	}
	return err != nil
}

func (w *preparation) makeGroups() error {
	for _, g := range w.plan.Groups {
		if !g.Absent {
			w.note(g.Place, w.accounts.Group(g))
		}
	}
	return nil
}

// makeUsers also removes groups, after the users that had them.
func (w *preparation) makeUsers() error {
	for _, u := range w.plan.Users {
		w.note(u.Place, w.accounts.User(u))
	}
	for _, g := range w.plan.Groups {
		if g.Absent {
			w.note(g.Place, w.accounts.Group(g))
		}
	}
	return w.accounts.Store()
}

// makeUnits writes all units before it enables one: units go together.
func (w *preparation) makeUnits() error {
	for _, u := range w.plan.Units {
		if u.Contents != nil && !w.clash(u.Place, units.Config+"/"+u.Name, "unit") {
			w.note(u.Place, units.Write(w.stage, u.Name, *u.Contents))
		}
		for _, d := range u.Dropins {
			if name := u.Name + ".d/" + d.Name; !w.clash(u.Place, units.Config+"/"+name, "drop-in") {
				w.note(u.Place, units.Write(w.stage, name, d.Contents))
			}
		}
	}
	for _, u := range w.plan.Units {
		name := units.Name(u.Name)
		if u.Mask != nil && !*u.Mask && w.note(u.Place, units.Unmask(w.stage, name)) {
			continue
		}
		if u.Enabled != nil && *u.Enabled {
			w.note(u.Place, units.Enable(w.stage, name))
		} else if u.Enabled != nil {
			w.note(u.Place, units.Disable(w.stage, name))
		}
		if u.Mask != nil && *u.Mask {
			w.note(u.Place, units.Mask(w.stage, name))
		}
	}
	return nil
}

// clash reports a path that is given a second time.
func (w *preparation) clash(at plan.Place, path, as string) bool {
	if before, ok := w.taken[path]; ok {
		w.Fault(at, "%s is given as %s and as %s", path, before, as)
		return true
	}
	w.taken[path] = as
	return false
}

const zones = "/usr/share/zoneinfo/"

func (w *preparation) makeNames() error {
	if name := w.plan.Hostname; name.Value != "" && !w.clash(name.Place, "/etc/hostname", "the host's name") {
		w.put(name.Place, stage.Entry{Path: "/etc/hostname", Kind: stage.File, Mode: 0o644, Content: []byte(name.Value + "\n")})
	}
	zone := w.plan.Timezone
	if zone.Value == "" || w.clash(zone.Place, "/etc/localtime", "the time zone") {
		return nil
	}
	if !w.stage.Exists(zones + zone.Value) {
		w.Fault(zone.Place, "the image has no time zone %s in %s", zone.Value, zones)
		return nil
	}
	w.put(zone.Place, stage.Entry{Path: "/etc/localtime", Kind: stage.Symlink, Mode: 0o777, Target: ".." + zones + zone.Value})
	// Debian's own file, which has the same in words.
	if w.stage.Exists("/etc/timezone") {
		w.put(zone.Place, stage.Entry{Path: "/etc/timezone", Kind: stage.File, Mode: 0o644, Content: []byte(zone.Value + "\n")})
	}
	return nil
}

func (w *preparation) put(at plan.Place, e stage.Entry) {
	_, err := w.stage.Put(e)
	w.note(at, err)
}

var errThere = errors.New("it is there already: want overwrite")

func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }
