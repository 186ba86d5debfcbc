package configure

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/configure/alternatives"
	"github.com/proa-os/proa/builder/configure/units"
	"github.com/proa-os/proa/builder/tree"
)

// maxText is the size of a file that scripts read or change, in bytes.
const maxText = 1 << 20

func doAlternatives(w *world, c call) (status, error) {
	choice, install, err := alternatives.Parse(c.args)
	switch {
	case err != nil:
		return unknown, err
	case !install:
		return unknown, notDone("only --install is done")
	case w.making:
		return ok, nil
	}
	if _, there := w.tree.Resolve(path.Clean(choice.Path)); !there {
		return unknown, notDone(choice.Path + " does not exist")
	}
	return ok, w.alternatives.Add(choice)
}

const overrides = "var/lib/dpkg/statoverride"

// overridden reports whether dpkg-statoverride(1) knows a path.
func (w *world) overridden(at string) bool {
	data, err := w.tree.ReadFile(overrides, maxText)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 4 && fields[3] == at {
			return true
		}
	}
	return false
}

// doStatoverride is dpkg-statoverride --add USER GROUP MODE PATH.
func doStatoverride(w *world, c call) (status, error) {
	var plain []string
	for _, a := range c.args {
		if !strings.HasPrefix(a, "--") {
			plain = append(plain, a)
		}
	}
	if len(plain) != 4 || !contains(c.args, "--add") {
		return unknown, notDone("only --add is done")
	}
	if w.making {
		return ok, nil
	}
	mode, err := strconv.ParseUint(plain[2], 8, 32)
	if err != nil || mode > 0o7777 {
		return unknown, notDone("mode " + plain[2] + " is not one")
	}
	if contains(c.args, "--update") {
		if err := w.chown(plain[3], plain[0]+":"+plain[1]); err != nil {
			return unknown, err
		}
		if n, there := w.tree.Resolve(path.Clean(plain[3])); there {
			n.Mode = uint32(mode)
		}
	}
	old, err := w.tree.ReadFile(overrides, maxText)
	if err != nil {
		old = nil
	}
	return ok, w.writeFile("/"+overrides, string(old)+fmt.Sprintf("%s %s %s %s\n", plain[0], plain[1], plain[2], plain[3]))
}

func doSystemctl(w *world, c call) (status, error) {
	var plain []string
	for _, a := range c.args {
		if !strings.HasPrefix(a, "-") {
			plain = append(plain, a)
		}
	}
	if contains(c.args, "--user") || contains(c.args, "--global") {
		return unknown, notDone("it is for the units of users")
	}
	if len(plain) == 0 {
		return unknown, notDone("want a verb")
	}
	return w.changeUnits(plain[0], plain[1:])
}

func doDebSystemdHelper(w *world, c call) (status, error) {
	if contains(c.args, "--user") {
		return unknown, notDone("it is for the units of users")
	}
	var plain []string
	for _, a := range c.args {
		if !strings.HasPrefix(a, "--") {
			plain = append(plain, a)
		}
	}
	if len(plain) == 0 {
		return unknown, notDone("want a verb")
	}
	return w.changeUnits(plain[0], plain[1:])
}

// doUpdateHelper is what RPM packages of today call for their units.
func doUpdateHelper(w *world, c call) (status, error) {
	if len(c.args) > 0 && c.args[0] == "install-system-units" {
		return w.changeUnits("preset", c.args[1:])
	}
	if len(c.args) > 0 && c.args[0] == "install-user-units" {
		return unknown, notDone("it is for the units of users")
	}
	return unknown, notDone("")
}

// changeUnits enables and masks; the links are made when all packages have
// been gone through.
func (w *world) changeUnits(verb string, names []string) (status, error) {
	if w.making {
		return ok, nil
	}
	for _, name := range names {
		if !strings.Contains(name, ".") {
			name += ".service"
		}
		switch verb {
		case "enable", "reenable":
			w.wanted = append(w.wanted, units.Name(name))
		case "preset":
			// RPM's units all follow the presets in the end.
		case "mask":
			if err := w.units.Mask(units.Name(name)); err != nil {
				return unknown, err
			}
		case "disable":
			return ok, passed("it is not enabled yet")
		default:
			return unknown, notDone("systemctl " + verb + " is not known")
		}
	}
	return ok, nil
}

// doUpdateRC is update-rc.d(8): a service that is a unit, too, is started by
// that.
func doUpdateRC(w *world, c call) (status, error) {
	if contains(c.args, "remove") {
		return ok, passed("there is nothing to remove yet")
	}
	if len(c.args) > 0 {
		name := strings.TrimSuffix(c.args[0], ".sh")
		for _, folder := range []string{"etc/systemd/system", "usr/lib/systemd/system"} {
			if _, there := w.tree.Lookup(path.Join(folder, name+".service")); there {
				return ok, passed("systemd has a unit of that name")
			}
		}
	}
	return unknown, notDone("it is a service without a unit")
}

// doMachineID leaves an empty file, which each machine fills when it starts
// first (machine-id(5)).
func doMachineID(w *world, _ call) (status, error) {
	if _, there := w.tree.Lookup("etc/machine-id"); there || w.making {
		return ok, nil
	}
	return ok, w.put("etc/machine-id", &tree.Node{Mode: 0o644})
}

// doRunParts passes over the hooks of kernels: they make initrds and boot
// menus.
func doRunParts(_ *world, c call) (status, error) {
	if len(c.args) > 0 && strings.HasPrefix(c.args[len(c.args)-1], "/etc/kernel/") {
		return ok, passed("the build makes the initrd, and systemd-boot starts the image")
	}
	return unknown, notDone("")
}
