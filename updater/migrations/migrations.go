// Package migrations brings /var from the format of one release to that of
// another, and back.
//
// A release says in its state.json which formats it knows the steps between.
// Up is run once a release leads, and never in a trial: a trial has to work
// with the format of the release before. Down is run before a machine goes back
// to a release of an older format.
//
// The format that /var has is in a file on /var itself. A step that was cut is
// run again, so every migration must bear that.
package migrations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/program"
)

// Var is a /var with a format.
type Var struct {
	File    string        // says which format it has; required
	Root    string        // the root file system with the migrations; "/" on a host
	Timeout time.Duration // of one migration
	// Step is told which migration begins; nil means nobody is.
	Step func(to int, down bool)
}

// record is the content of File. The release that a machine is first started
// with brings one along.
type record struct {
	Schema int `json:"schema"` // 1
	Format int `json:"format"`
	// Toward is the format that a step which was begun leads to; 0 without one.
	Toward int `json:"toward,omitempty"`
}

// ErrIrreversible is wrapped by the error of a way back that leads over a
// migration which cannot be undone.
var ErrIrreversible = errors.New("cannot be undone")

// Format is the format that /var has; a /var without a record has the first.
// Where a step was cut it is the newer of the two that /var is between.
func (v Var) Format() (int, error) {
	r, err := v.read()
	return max(r.Format, r.Toward), err
}

func (v Var) read() (record, error) {
	first := record{Schema: 1, Format: manifests.FirstVarFormat}
	text, err := os.ReadFile(v.File)
	if errors.Is(err, fs.ErrNotExist) {
		return first, nil
	}
	if err != nil {
		return record{}, err
	}
	r, err := parse(text)
	if err != nil {
		return record{}, fmt.Errorf("%s: %w", v.File, err)
	}
	return r, nil
}

func parse(text []byte) (record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, err
	}
	between := r.Toward == 0 || r.Toward == r.Format+1 || r.Toward == r.Format-1
	if r.Schema != 1 || r.Format < manifests.FirstVarFormat || r.Toward < 0 || !between {
		return record{}, fmt.Errorf("schema %d, format %d toward %d: want schema 1, and formats from 1 on beside each other", r.Schema, r.Format, r.Toward)
	}
	return r, nil
}

func (v Var) write(r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := durable.MakeFolder(filepath.Dir(v.File)); err != nil {
		return err
	}
	return durable.WriteFile(v.File, append(text, '\n'), 0o644)
}

// Up runs the release's migrations up to its format. One that fails ends it,
// and the next call begins with that one.
func (v Var) Up(ctx context.Context, release manifests.State) error {
	r, err := v.read()
	if err != nil {
		return err
	}
	// A way down that was cut is gone to its end first: its migration knows
	// what is half done.
	if r.Toward != 0 && r.Toward < r.Format {
		if err := v.step(ctx, release, r.Format, r.Toward); err != nil {
			return err
		}
		r.Format = r.Toward
	}
	if err := v.Reaches(release); err != nil {
		return err
	}
	for format := r.Format; format < release.VarFormat(); format++ {
		if err := v.step(ctx, release, format, format+1); err != nil {
			return err
		}
	}
	return nil
}

// Reaches reports as an error why the release cannot work with this /var: it
// has no migration from a format that old. A newer format is no such reason.
func (v Var) Reaches(release manifests.State) error {
	format, err := v.Format()
	if err == nil && format < release.OldestVarFormat() {
		err = fmt.Errorf("/var has format %d: the release starts from %d; install a release between them first", format, release.OldestVarFormat())
	}
	return err
}

// Is reports as an error that /var does not have the release's format, or is
// between two.
func (v Var) Is(release manifests.State) error {
	r, err := v.read()
	switch {
	case err != nil:
		return err
	case r.Toward != 0:
		return fmt.Errorf("the migration of /var from format %d to %d did not succeed", r.Format, r.Toward)
	case r.Format < release.VarFormat():
		return fmt.Errorf("/var has format %d: the running release is to bring it to %d", r.Format, release.VarFormat())
	case r.Format > release.VarFormat():
		return fmt.Errorf("/var has format %d: the running release works with %d", r.Format, release.VarFormat())
	}
	return nil
}

// MayGoDown reports as an error which of the running release's migrations
// keeps a release of an older format from running with this /var.
func (v Var) MayGoDown(running manifests.State, to int) error {
	format, err := v.Format()
	if err != nil {
		return err
	}
	for ; format > to; format-- {
		m, err := find(running, format)
		if err != nil {
			return err
		}
		if !m.Reversible {
			return fmt.Errorf("the migration of /var to format %d %w", m.To, ErrIrreversible)
		}
	}
	return nil
}

// Down takes back migrations of the running release until /var has the format.
func (v Var) Down(ctx context.Context, running manifests.State, to int) error {
	if err := v.MayGoDown(running, to); err != nil {
		return err
	}
	format, err := v.Format()
	if err != nil {
		return err
	}
	for ; format > to; format-- {
		if err := v.step(ctx, running, format, format-1); err != nil {
			return err
		}
	}
	return nil
}

// step runs one migration, between the notes that it has begun and has ended.
func (v Var) step(ctx context.Context, release manifests.State, from, to int) error {
	m, err := find(release, max(from, to))
	if err != nil {
		return err
	}
	if err := v.write(record{Schema: 1, Format: from, Toward: to}); err != nil {
		return err
	}
	if v.Step != nil {
		v.Step(m.To, to < from)
	}
	direction := "up"
	if to < from {
		direction = "down"
	}
	err = program.Run(ctx, program.Program{
		Path:    filepath.Join(v.Root, m.Run),
		Args:    []string{direction},
		Env:     []string{fmt.Sprintf("PROA_FROM=%d", from), fmt.Sprintf("PROA_TO=%d", to)},
		Timeout: v.Timeout,
	})
	if err != nil {
		return fmt.Errorf("migrating /var from format %d to %d: %w", from, to, err)
	}
	return v.write(record{Schema: 1, Format: to})
}

// find is the migration that leads to a format.
func find(release manifests.State, to int) (manifests.Migration, error) {
	for _, m := range release.Migrations {
		if m.To == to {
			return m, nil
		}
	}
	return manifests.Migration{}, fmt.Errorf("the release knows no migration of /var to format %d", to)
}
