package bootcontrol

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/efivars"
)

// Register has the firmware start a disk's loader first: by an option that is there
// already, or by a new one. The others keep their order behind it. It returns the
// option's name, such as "Boot0003". On an error the machine starts as before; it may
// say that the variables cannot be written.
func Register(vars efivars.Store, disk efivars.HardDrive, arch string) (string, error) {
	loader := `\` + strings.ReplaceAll(esp.LoaderPath(arch), "/", `\`)
	name, err := register(&OneShot{Vars: vars, Disk: disk, Loader: loader})
	if err != nil {
		return "", fmt.Errorf("registering a boot option: %s", explain(err))
	}
	return name, nil
}

func register(o *OneShot) (string, error) {
	if err := o.Vars.Present(); err != nil {
		return "", err
	}
	order, err := o.Vars.BootOrder()
	if err != nil {
		return "", err
	}
	ours, err := o.ourOptions(order)
	if err != nil {
		return "", err
	}
	var number uint16
	if len(ours) > 0 {
		number = order[ours[0]]
	} else if number, err = o.addOption(order); err != nil {
		return "", err
	}
	rest := slices.DeleteFunc(slices.Clone(order), func(n uint16) bool { return n == number })
	if err := o.Vars.WriteBootOrder(append([]uint16{number}, rest...)); err != nil {
		return "", err
	}
	return efivars.BootName(number).Name, nil
}
