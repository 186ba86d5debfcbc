package etc

import (
	"slices"
	"strings"

	"github.com/proa-os/proa/manifests"
)

// Conflict is a name in /etc that an update changes, and that the machine has
// made its own: it will not see what the update brings.
type Conflict struct {
	Path string `json:"path"`
	Here Kind   `json:"here"` // what the machine did
	// Release is what the update does to the name: added, modified, metadata,
	// replaced or deleted.
	Release Kind `json:"release"`
}

// Conflicts lists them, sorted by path. Of changes that the next boot takes
// back nothing is left to be in conflict.
func Conflicts(changes []Change, now, next manifests.State) []Conflict {
	var conflicts []Conflict
	names := map[string]bool{}
	add := func(c Change, name string) {
		before, was := now.Entry(name)
		after, is := next.Entry(name)
		if before == after || names[name] {
			return
		}
		names[name] = true
		kind := Deleted
		if is {
			kind = compare(after, before, was)
		}
		conflicts = append(conflicts, Conflict{name, c.Kind, kind})
	}
	for _, c := range changes {
		if c.Reset {
			continue
		}
		add(c, c.Path)
		if !c.whole {
			continue
		}
		// What comes below a name that hides all of it is not seen either.
		folder := c.Path + "/"
		first, _ := slices.BinarySearchFunc(next.Etc, folder, func(e manifests.EtcEntry, path string) int { return strings.Compare(e.Path, path) })
		for _, entry := range next.Etc[first:] {
			if !strings.HasPrefix(entry.Path, folder) {
				break
			}
			add(c, entry.Path)
		}
	}
	return conflicts
}
