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
		StandIn: s.startNote().Fallbacks > 0 && here != s.boot.Committed,
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

// startNote is what proa-init noted about this boot, beside what it booted. An
// older one notes nothing of it.
type startNote struct {
	Fallbacks int  `json:"fallbacks"` // boots in a row before this one that gave up their slot
	Damaged   bool `json:"damaged"`   // the running slot was read and is corrupt; there was no other
	// Twins are other disks with the partition GUIDs of the one that runs.
	Twins     []string `json:"twins"`
	VarSealed bool     `json:"varSealed"` // /var is encrypted, and the TPM opened it
	// VarFault is why /var and the changes to /etc are in memory alone.
	VarFault string `json:"varFault"`
}

func (s *session) startNote() startNote {
	var note startNote
	if err := readJSON(s.host.Boot, &note); err != nil {
		return startNote{}
	}
	return note
}

// lacksVar reports whether /var is in memory in this boot.
func (s *session) lacksVar() bool { return s.startNote().VarFault != "" }
