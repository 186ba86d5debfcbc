package bootcontrol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
)

// Probe finds out whether the firmware keeps variables across a reset: one run
// sets a variable, and one in a later boot looks for it. It changes no layout.
type Probe struct {
	FS     hostfs.FS
	Vars   efivars.Store
	Path   string // a file that outlives a reset, for what was found
	BootID string // the kernel's random id of this boot
	Now    time.Time
}

// Outcome is what a probe found.
type Outcome string

// The outcomes.
const (
	Pending  Outcome = "pending"  // the variable is set: the next boot tells
	Kept     Outcome = "kept"     // the variable was there after a reset
	Lost     Outcome = "lost"     // the firmware took it, and it was gone after a reset
	Unusable Outcome = "unusable" // the variable cannot be set
)

// Finding is what a probe found, and when.
type Finding struct {
	Outcome Outcome   `json:"outcome"`
	Reason  string    `json:"reason,omitempty"` // of unusable
	When    time.Time `json:"when"`
	BootID  string    `json:"bootId"` // of the boot that found it, or of the one that is to be over first
}

var probeVariable = efivars.Name{Name: "ProaProbe", Vendor: efivars.VendorProa}

const findingMost = 4 << 10

// Last is what was found the last time; ok is false if nothing was.
func (p Probe) Last() (f Finding, ok bool, err error) {
	content, err := hostfs.ReadFile(p.FS, p.Path, findingMost)
	if errors.Is(err, fs.ErrNotExist) {
		return Finding{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &f)
	}
	if err != nil {
		return Finding{}, false, fmt.Errorf("probe of boot control: %s: %w", p.Path, err)
	}
	return f, true, nil
}

// Run begins a probe, or ends the one that an earlier boot began.
func (p Probe) Run() (Finding, error) {
	last, ok, err := p.Last()
	if err != nil {
		ok = false // it is replaced
	}
	if ok && last.Outcome == Pending && last.BootID != p.BootID {
		return p.end(last)
	}
	return p.begin()
}

func (p Probe) begin() (Finding, error) {
	f := Finding{Outcome: Pending, When: p.Now, BootID: p.BootID}
	err := p.Vars.Present()
	if err == nil {
		err = p.Vars.Write(probeVariable, efivars.Variable{Attributes: efivars.Persistent, Data: []byte(p.BootID)})
	}
	if err != nil {
		f.Outcome, f.Reason = Unusable, explain(err)
	}
	return f, p.store(f)
}

// end judges by content: a variable of an older probe says nothing.
func (p Probe) end(begun Finding) (Finding, error) {
	f := Finding{Outcome: Kept, When: p.Now, BootID: p.BootID}
	v, err := p.Vars.Read(probeVariable)
	switch {
	case err == nil && string(v.Data) == begun.BootID:
	case err == nil || errors.Is(err, fs.ErrNotExist):
		f.Outcome = Lost
	default:
		f.Outcome, f.Reason = Unusable, explain(err)
	}
	if err := p.store(f); err != nil {
		return Finding{}, err
	}
	// One that cannot be removed is overwritten by the next probe.
	_ = p.Vars.Delete(probeVariable)
	return f, nil
}

func (p Probe) store(f Finding) error {
	content, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.Path), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(p.Path, append(content, '\n'), 0o600)
}

// explain says in plain words what the kernel says in codes.
func explain(err error) string {
	what := ""
	switch {
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		what = "variables are read-only: "
	case errors.Is(err, syscall.ENOSPC):
		what = "the firmware's variable store is full: "
	case errors.Is(err, fs.ErrNotExist):
		what = "there are no variables: "
	}
	return what + err.Error()
}
