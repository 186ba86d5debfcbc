package bootcontrol

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/proa-os/proa/updater/efivars"
)

// waysWanted is how many boot options are to lead to our loader.
const waysWanted = 2

// ensureBootOptions adds boot options until the firmware's order has two that
// load our loader from our boot partition. They go behind the one that this
// boot came from, so the machine starts as before, and only a loader that
// comes back to the firmware is called again, when the one-shot is used up.
func (o *OneShot) ensureBootOptions() error {
	order, err := o.Vars.BootOrder()
	if err != nil {
		return err
	}
	ours, err := o.ourOptions(order)
	if err != nil {
		return err
	}
	if len(ours) >= waysWanted {
		return nil
	}
	at, err := o.place(order, ours)
	if err != nil {
		return err
	}
	for missing := waysWanted - len(ours); missing > 0; missing-- {
		number, err := o.addOption(order)
		if err != nil {
			return fmt.Errorf("adding a second way to the boot loader: %w", err)
		}
		order = slices.Insert(order, at, number)
		at++
	}
	if err := o.Vars.WriteBootOrder(order); err != nil {
		return fmt.Errorf("adding a second way to the boot loader: %w", err)
	}
	return nil
}

// ourOptions are the places in order of the options that load our loader.
func (o *OneShot) ourOptions(order []uint16) ([]int, error) {
	var places []int
	for i, number := range order {
		ours, _, err := o.isOurs(number)
		if err != nil {
			return nil, err
		}
		if ours && !slices.Contains(order[:i], number) {
			places = append(places, i)
		}
	}
	return places, nil
}

// isOurs passes over options that do not parse: they are the firmware's, and
// some vendors' are odd.
func (o *OneShot) isOurs(number uint16) (ours, exists bool, err error) {
	v, err := o.Vars.Read(efivars.BootName(number))
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	option, err := efivars.ParseLoadOption(v.Data)
	return err == nil && option.Loads(o.Disk, o.Loader), true, nil
}

// place is where in order a new option goes: behind the last of ours, else
// behind the current one, else to the front.
func (o *OneShot) place(order []uint16, ours []int) (int, error) {
	if len(ours) > 0 {
		return ours[len(ours)-1] + 1, nil
	}
	current, known, err := o.Vars.BootCurrent()
	if err != nil || !known {
		return 0, err
	}
	return slices.Index(order, current) + 1, nil
}

// addOption finds or makes an option of ours that is not in order.
func (o *OneShot) addOption(order []uint16) (uint16, error) {
	const most = 0x1000 // far beyond what any firmware keeps
	for number := uint16(0); number < most; number++ {
		if slices.Contains(order, number) {
			continue
		}
		ours, exists, err := o.isOurs(number)
		if err != nil {
			return 0, err
		}
		if ours {
			return number, nil
		}
		if exists {
			continue
		}
		option := efivars.LoadOption{
			Attributes:  efivars.Active,
			Description: fmt.Sprintf("proa %04X", number), // some firmware drops options that are alike
			Path:        []efivars.Node{o.Disk.Node(), efivars.FileNode(o.Loader)},
		}
		return number, o.Vars.Write(efivars.BootName(number), efivars.Variable{
			Attributes: efivars.Persistent,
			Data:       option.Encode(),
		})
	}
	return 0, fmt.Errorf("no free boot option below %d", most)
}
