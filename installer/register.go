package installer

import (
	"github.com/proa-os/proa/updater/bootcontrol"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
)

// VariablesFolder is where this machine shows its firmware's variables.
const VariablesFolder = "/sys/firmware/efi/efivars"

// Register has this machine's firmware start the disk that was installed first, and
// gives the name of the boot option. Without it, firmware finds the loader where
// removable media have theirs. It also shows whether variables can be set at all, by
// which boot control works unless it counts boots.
func Register(fsys hostfs.FS, variables string, r Result) (option string, err error) {
	return bootcontrol.Register(efivars.New(fsys, variables), efivars.HardDriveOf(r.ESP, r.SectorSize), string(r.Arch))
}
