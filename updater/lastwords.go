package updater

import (
	"context"
	"time"

	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lastwords"
)

// keepOwnLastWords keeps the end of this boot's log before the reset that ends
// it. A disk that hangs may be why: the machine does not wait for it.
func (s *session) keepOwnLastWords() {
	const patience = 20 * time.Second
	trial := lastwords.Trial{
		Version: s.facts.Image.Version, Reason: "no verdict before the deadline",
		Now: s.facts.BootID, Boot: s.facts.BootID,
	}
	if last := s.record.Last; WentBack(last) && s.record.BootID == s.facts.BootID {
		trial.Reason = last.Reason
	}
	if s.host.LastWords.Dir == "" {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The reset comes whether or not there is something to read afterwards.
		_, _ = lastwords.Keep(context.Background(), s.host.LastWords, trial)
	}()
	select {
	case <-done:
	case <-time.After(patience):
	}
}

// keepLastWords keeps what the boot that failed wrote to its journal, once, on
// the slot that the machine came back to, and tells that it did.
func (s *session) keepLastWords(ctx context.Context) error {
	r := s.record
	came := r.Phase == journal.Verified || r.Phase == journal.Bad
	if s.host.LastWords.Dir == "" || !came || !WentBack(r.Last) || r.Last.Journal != "" || r.BootID == s.facts.BootID {
		return nil
	}
	trial := lastwords.Trial{Version: r.Last.Version, Reason: r.Last.Reason, Now: s.facts.BootID, Boot: r.BootID}
	if r.Last.Armed != nil {
		trial.Since = *r.Last.Armed
	}
	s.announce(ctx, hooks.WentBack)
	path, err := lastwords.Keep(ctx, s.host.LastWords, trial)
	if err != nil && ctx.Err() != nil {
		return err
	}
	return s.write(func(r *journal.Record) {
		r.BootID = s.facts.BootID // not again
		last := *r.Last
		last.Journal = path
		r.Last = &last
	})
}
