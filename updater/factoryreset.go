package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/proa-os/proa/partitions/factoryreset"
	"github.com/proa-os/proa/updater/lifecycle"
)

// FactoryReset is what the next boot is asked for.
type FactoryReset struct {
	Requested *time.Time `json:"requested,omitempty"` // when it was asked for; missing when it is not
	Notes     []string   `json:"notes,omitempty"`
}

// RequestFactoryReset asks the next boot to forget /var and, with it, all that
// the machine changed in /etc; the releases in the slots stay, and so does which
// of them leads and which are blocked. It is refused unless the committed slot
// runs and no trial is pending: a trial that went back would leave the new
// release's /var to the old one.
func (u *Updater) RequestFactoryReset(ctx context.Context) (FactoryReset, error) {
	s, v, err := u.begin(ctx)
	done := FactoryReset{Notes: v.Notes}
	if err != nil {
		return done, err
	}
	defer s.close()
	switch {
	case s.standing() != lifecycle.Settled:
		return done, refuse("", "slot %s runs and slot %s is committed: a factory reset is for the committed slot", s.facts.Slot, s.boot.Committed)
	case s.boot.Armed != 0 && s.boot.Armed != s.facts.Slot:
		return done, refuse("", "a trial of slot %s is pending: let it end, or cancel it", s.boot.Armed)
	}
	now := s.now()
	if err := s.noteFactoryReset(factoryreset.Request{When: now}.Bytes()); err != nil {
		return done, err
	}
	done.Requested = &now
	return done, nil
}

// CancelFactoryReset withdraws the wish, if there is one: Requested is that of
// the wish that was withdrawn.
func (u *Updater) CancelFactoryReset(context.Context) (FactoryReset, error) {
	s, err := u.open(true)
	if err != nil {
		return FactoryReset{}, err
	}
	defer s.close()
	done := FactoryReset{Requested: s.factoryReset()}
	return done, s.noteFactoryReset(factoryreset.None())
}

// noteFactoryReset replaces the sector, and reads it back from the medium.
func (s *session) noteFactoryReset(sector []byte) error {
	if _, err := s.state.WriteAt(sector, factoryreset.Offset); err != nil {
		return fmt.Errorf("noting the factory reset: %w", err)
	}
	if err := s.state.Sync(); err != nil {
		return fmt.Errorf("noting the factory reset: %w", err)
	}
	if err := s.state.Drop(factoryreset.Offset, factoryreset.Size); err != nil {
		return err
	}
	back := make([]byte, factoryreset.Size)
	if _, err := s.state.ReadAt(back, factoryreset.Offset); err != nil {
		return fmt.Errorf("reading back the factory reset: %w", err)
	}
	if !bytes.Equal(back, sector) {
		return errors.New("reading back the factory reset: the medium did not keep what was written")
	}
	return nil
}

// factoryReset is when the next boot's was asked for, or nil.
func (s *session) factoryReset() *time.Time {
	wish, err := factoryreset.Read(s.state)
	if err != nil {
		return nil
	}
	return &wish.When
}

// mayArm refuses a trial while the next boot is to forget /var: see
// RequestFactoryReset.
func (s *session) mayArm() error {
	if s.factoryReset() == nil {
		return nil
	}
	return refuse("", "the next boot is a factory reset: reboot first, or take it back with factory-reset --cancel")
}
