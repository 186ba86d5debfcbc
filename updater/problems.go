package updater

import (
	"fmt"
	"strings"

	"github.com/proa-os/proa/updater/lifecycle"
)

// problems are what an administrator should see to, as far as it is known without
// reading the slots.
func (s *session) problems() []string {
	var problems []string
	if s.boot.Override != "" {
		problems = append(problems, "LoaderEntryDefault makes "+s.boot.Override+" boot in place of the committed slot; recover removes it")
	}
	if fault := s.startNote().VarFault; fault != "" {
		problems = append(problems, "changes to /var and /etc are lost at the next boot: "+fault)
	}
	if s.disk.Table.Damaged != "" {
		problems = append(problems, "partition table: "+s.disk.Table.Damaged)
	}
	if twins := s.startNote().Twins; len(twins) > 0 {
		problems = append(problems, fmt.Sprintf("%s has the same partition GUIDs as the disk that runs, %s: detach or wipe it, since the firmware may boot either",
			strings.Join(twins, ", "), s.facts.Disk))
	}
	// A trial works with the format of the release before it.
	if at := s.standing(); at == lifecycle.Settled || at == lifecycle.Visiting {
		if err := s.isMigrated(); err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems
}
