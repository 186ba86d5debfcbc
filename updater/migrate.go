package updater

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
	"github.com/proa-os/proa/updater/migrations"
)

// migrationLimit is the time of one migration of /var, which may have to
// rewrite all of it.
const migrationLimit = time.Hour

// formattedVar is this machine's /var. Every migration of it is told of.
func (s *session) formattedVar() migrations.Var {
	root := s.host.Root
	if root == "" {
		root = "/"
	}
	return migrations.Var{File: s.host.VarFormat, Root: root, Timeout: migrationLimit, Step: func(to int, down bool) {
		s.emit(about(events.Migrated, s.running(), migrationNote(to, down)))
	}}
}

// migrate brings /var to the format of the running release, where that leads
// and no trial is armed: the one of an older release has brought it back already.
// A release is not taken back because of it here: the watch does that, where
// it may.
func (s *session) migrate(ctx context.Context) (notes []string) {
	if at := s.situation(); at.Armed || lifecycle.Of(at).Standing != lifecycle.Settled {
		return nil
	}
	release, err := s.host.releaseState()
	if err == nil {
		v := s.formattedVar()
		tell := v.Step
		v.Step = func(to int, down bool) {
			tell(to, down)
			notes = append(notes, migrationNote(to, down))
		}
		err = v.Up(ctx, release)
	}
	if err != nil {
		if ctx.Err() == nil {
			s.emit(about(events.MigrationFailed, s.running(), journal.Reason(err.Error())))
		}
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
