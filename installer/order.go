package installer

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Order is what the kernel's command line of a live system says about an
// installation that nobody attends.
type Order struct {
	Disk     string // proa.install: "auto", "serial:<serial>" or a path
	Settings string // proa.install.config: URL of the machine's configuration; "" for none
	Digest   string // proa.install.config.sha256: what that has, in hex digits; "" for whatever comes
	Wipe     string // proa.install.wipe: the name of a disk that may lose what is on it
}

// ParseOrder reads a whole kernel command line. Serials and names may have their
// spaces as %20. A word of proa.install that is not known, or is there twice, is an
// error: nothing is guessed about a disk.
func ParseOrder(line string) (Order, error) {
	values := map[string]string{}
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		if key != "proa.install" && !strings.HasPrefix(key, "proa.install.") {
			continue
		}
		switch _, repeated := values[key]; {
		case !slices.Contains([]string{"proa.install", "proa.install.config", "proa.install.config.sha256", "proa.install.wipe"}, key):
			return Order{}, fmt.Errorf("kernel parameter %.80q: proa has no such parameter", key)
		case repeated:
			return Order{}, fmt.Errorf("kernel parameter %s is given twice", key)
		case value == "":
			return Order{}, fmt.Errorf("kernel parameter %s is empty", key)
		}
		values[key] = value
	}
	o := Order{Disk: values["proa.install"], Settings: values["proa.install.config"], Digest: values["proa.install.config.sha256"]}
	if o.Disk == "" {
		return Order{}, fmt.Errorf("kernel parameter proa.install is missing: want auto, serial:SERIAL or the path of a disk")
	}
	var err error
	if o.Disk, err = url.PathUnescape(o.Disk); err != nil {
		return Order{}, fmt.Errorf("kernel parameter proa.install: %w", err)
	}
	if o.Wipe, err = url.PathUnescape(values["proa.install.wipe"]); err != nil {
		return Order{}, fmt.Errorf("kernel parameter proa.install.wipe: %w", err)
	}
	return o, nil
}

// Choose is the path of the one disk that the order means. For auto that is the only
// one that is built in, not in use, and free; or the one that may be wiped.
func (o Order) Choose(disks []Disk) (string, error) {
	serial, bySerial := strings.CutPrefix(o.Disk, "serial:")
	if o.Disk != "auto" && !bySerial {
		return o.Disk, nil
	}
	var found []string
	var rest []string
	for _, disk := range disks {
		switch {
		case bySerial && disk.Serial == serial && serial != "", !bySerial && disk.fits(o.Wipe):
			found = append(found, disk.Path)
		default:
			rest = append(rest, disk.about())
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("proa.install=%s leaves a choice: %s", o.Disk, strings.Join(found, ", "))
	case len(rest) == 0:
		return "", fmt.Errorf("proa.install=%s: this machine has no disk", o.Disk)
	}
	return "", fmt.Errorf("proa.install=%s fits no disk: %s", o.Disk, strings.Join(rest, "; "))
}

func (d Disk) fits(wipe string) bool {
	if d.InUse != "" || d.ReadOnly {
		return false
	}
	return d.Name == wipe && wipe != "" || wipe == "" && d.Free && !d.Removable
}

// about is what there is to say of a disk that was not chosen.
func (d Disk) about() string {
	what := "holds " + d.Holds
	switch {
	case d.InUse != "":
		what = d.InUse
	case d.ReadOnly:
		what = "is write-protected"
	case d.Free && d.Removable:
		what = "is removable"
	}
	return fmt.Sprintf("%s (%s) %s", d.Path, d.Name, what)
}
