package updater

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/etc"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
	"github.com/proa-os/proa/updater/migrations"
)

// migrationLimit is the time of one migration of /var, which may have to
// rewrite all of it.
const migrationLimit = time.Hour

// Kept is what an update means for the data that outlives it.
type Kept struct {
	// EtcConflicts are files that the machine has made its own and that the update
	// changes: the machine will not see the change.
	EtcConflicts []etc.Conflict `json:"etcConflicts,omitempty"`
	// VarFormat is the format that the update brings /var to once it leads, if
	// that is another one than it has.
	VarFormat int `json:"varFormat,omitempty"`
	// OneWay says that the machine then cannot go back to the release before.
	OneWay bool `json:"oneWay,omitempty"`

	format int // of /var that the release works with
}

// Warnings are sentences for whoever starts the update.
func (k Kept) Warnings() []string {
	var lines []string
	for _, c := range k.EtcConflicts {
		lines = append(lines, fmt.Sprintf("/%s is %s here, and stays so: the release has it %s", c.Path, c.Here, c.Release))
	}
	if k.OneWay {
		lines = append(lines, fmt.Sprintf("once it leads it migrates /var to format %d, and there is no way back to the release that runs now", k.VarFormat))
	}
	return lines
}

// formattedVar is this machine's /var.
func (s *session) formattedVar() migrations.Var {
	root := s.host.Root
	if root == "" {
		root = "/"
	}
	return migrations.Var{File: s.host.VarFormat, Root: root, Timeout: migrationLimit}
}

// weigh finds out what an offer means for /etc and /var. One that starts from a
// newer format of /var than this machine has is refused.
func (s *session) weigh(ctx context.Context, o offer) (Kept, error) {
	next, err := s.offeredState(ctx, o)
	if err != nil {
		return Kept{}, err
	}
	now, err := s.host.releaseState()
	if err != nil {
		return Kept{}, err
	}
	changes, err := etc.Diff(s.host.Etc, now)
	if err != nil {
		return Kept{}, err
	}
	kept := Kept{EtcConflicts: etc.Conflicts(changes, now, next), format: next.VarFormat()}
	v := s.formattedVar()
	if err := v.Reaches(next); err != nil {
		return Kept{}, refuse(o.Release.Version, "%v", err)
	}
	format, err := v.Format()
	if err != nil {
		return Kept{}, err
	}
	for _, m := range next.Migrations {
		if m.To > format {
			kept.VarFormat = m.To
			kept.OneWay = kept.OneWay || !m.Reversible
		}
	}
	return kept, nil
}

// offeredState is the offer's state.json; a release that was built before there
// were such documents has none.
func (s *session) offeredState(ctx context.Context, o offer) (manifests.State, error) {
	a, ok := o.Release.Artifact(manifests.StateFile)
	if !ok {
		return manifests.State{}, nil
	}
	if a.Size > manifests.DocumentMost {
		return manifests.State{}, refuse(o.Release.Version, "its %s has %d bytes: want at most %d", a.Name, a.Size, manifests.DocumentMost)
	}
	path := filepath.Join(s.host.State, "state.download")
	defer os.Remove(path)
	err := s.fetch.File(ctx, manifests.ArtifactPath(a.Digest), manifests.FetchFile{Size: a.Size, Digest: a.Digest}, path)
	if err != nil {
		return manifests.State{}, contentError(err)
	}
	text, err := readAtMost(path, manifests.DocumentMost)
	if err != nil {
		return manifests.State{}, err
	}
	if manifests.DigestOf(text) != a.Digest {
		return manifests.State{}, &UntrustedError{fmt.Errorf("%s is not what was downloaded", path)}
	}
	state, err := manifests.ParseState(text)
	if err != nil {
		return manifests.State{}, refuse(o.Release.Version, "%v", err)
	}
	return state, nil
}

// migrate brings /var to the format of the running release, where that leads.
// A release is not taken back because of it here: the watch does that, where
// it may.
func (s *session) migrate(ctx context.Context) (notes []string) {
	if s.standing() != lifecycle.Settled {
		return nil
	}
	release, err := s.host.releaseState()
	if err == nil {
		v := s.formattedVar()
		v.Step = func(to int, down bool) { notes = append(notes, migrationNote(to, down)) }
		err = v.Up(ctx, release)
	}
	if err != nil {
		s.emitFailure(ctx, "migrate", err)
		notes = append(notes, err.Error())
	}
	return notes
}

func migrationNote(to int, down bool) string {
	if down {
		return fmt.Sprintf("took back the migration of /var to format %d", to)
	}
	return fmt.Sprintf("migrated /var to format %d", to)
}

// isMigrated reports as an error that /var does not have the format of the
// running release, which leads.
func (s *session) isMigrated() error {
	release, err := s.host.releaseState()
	if err != nil {
		return err
	}
	return s.formattedVar().Is(release)
}

// migrateDown brings /var back to the format that an older release works with.
// What runs until the reboot has to bear that.
func (s *session) migrateDown(ctx context.Context, target journal.Target) error {
	release, err := s.host.releaseState()
	if err != nil {
		return err
	}
	return s.formattedVar().Down(ctx, release, max(target.VarFormat, manifests.FirstVarFormat))
}

// mayGoBackTo refuses a way back over migrations of /var that cannot be undone.
func (s *session) mayGoBackTo(target journal.Target) error {
	release, err := s.host.releaseState()
	if err != nil {
		return err
	}
	err = s.formattedVar().MayGoDown(release, max(target.VarFormat, manifests.FirstVarFormat))
	if errors.Is(err, migrations.ErrIrreversible) {
		return refuse(target.Version, "it works with an older format of /var: %v", err)
	}
	return err
}
