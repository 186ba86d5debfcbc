package updater

import (
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
)

// situation is what the table of package lifecycle goes by.
func (s *session) situation() lifecycle.Situation {
	r, here := s.record, s.facts.Slot
	observed := lifecycle.Situation{
		Committed: here == s.boot.Committed,
		Armed:     s.boot.Armed != 0 && s.boot.Armed != here,
		// After a kexec the loader's variable still names what the firmware booted.
		Loaded:  s.boot.Booted == here,
		StandIn: s.fallbacks() > 0 && here != s.boot.Committed,
		Journal: s.recorded,
		Phase:   journal.Idle,
	}
	if !s.recorded || r.Target == nil {
		return observed
	}
	observed.Phase = r.Phase
	observed.Ours = r.Target.Slot == here && sameRoot(r.Target.RootHash, s.facts.Root.Hash[:])
	observed.SameBoot = r.BootID == s.facts.BootID
	observed.Kernel = s.boot.Has(r.Target.Slot)
	observed.LastTry = r.Tries >= s.Settings.Trials
	return observed
}

// standing finds out, from what booted and not from the journal alone, where
// the machine stands.
func (s *session) standing() lifecycle.Standing { return lifecycle.Of(s.situation()).Standing }

// fallbacks is how many boots in a row did not open the committed slot, which
// proa-init notes beside what it booted. An older one does not.
func (s *session) fallbacks() int {
	var noted struct {
		Fallbacks int `json:"fallbacks"`
	}
	if err := readJSON(s.host.Boot, &noted); err != nil {
		return 0
	}
	return noted.Fallbacks
}
