package deb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// interest is that a package wants to hear of a trigger, or of changes below a
// path (deb-triggers(5)).
type interest struct {
	in   string // the path of the file of the database that says so
	line string
}

// interests are those of a package, which the database calls base.
func interests(about *packages.About, base string) ([]interest, error) {
	var found []interest
	for line := range strings.Lines(string(about.Record["triggers"])) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 || !strings.HasPrefix(fields[0], "interest") {
			continue // activate says what this package sets off, which its files do not show
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("package %s: triggers: %.100q: want a directive and a name", about.Name, line)
		}
		who := base
		if fields[0] == "interest-noawait" {
			who += "/noawait"
		}
		name := fields[1]
		if strings.HasPrefix(name, "/") {
			found = append(found, interest{"triggers/File", name + " " + who})
			continue
		}
		if strings.ContainsAny(name, "/") || name[0] == '.' || len(name) > 200 || slices.Contains([]string{"File", "Unincorp", "Lock"}, name) {
			return nil, fmt.Errorf("package %s: triggers: %.100q: want an absolute path or a name without slashes", about.Name, name)
		}
		found = append(found, interest{"triggers/" + name, who})
	}
	return found, nil
}
