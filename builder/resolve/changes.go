package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/proa-os/proa/manifests"
)

// Change is one thing that differs between two locks.
type Change struct {
	Source string         `json:"source"`
	Arch   manifests.Arch `json:"arch"`
	Name   string         `json:"name"`          // of the package, image or archive
	Old    string         `json:"old,omitempty"` // its version or digest; empty when it was not there
	New    string         `json:"new,omitempty"` // empty when it is gone
}

// String is the change as one line: "+ a 1", "- b 2", "  c 3 → 4".
func (c Change) String() string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("+ %s %s", c.Name, c.New)
	case c.New == "":
		return fmt.Sprintf("- %s %s", c.Name, c.Old)
	}
	return fmt.Sprintf("  %s %s → %s", c.Name, c.Old, c.New)
}

// Changes lists what lock next brings over lock before, by source, architecture
// and name.
func Changes(before, next manifests.Lock) []Change {
	was, is := states(before), states(next)
	all := maps.Clone(was)
	maps.Copy(all, is)
	var changes []Change
	for key := range all {
		if was[key] != is[key] {
			changes = append(changes, Change{key.source, key.arch, key.name, was[key].text, is[key].text})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Name, b.Name))
	})
	return changes
}

type stateKey struct {
	source string
	arch   manifests.Arch
	name   string
}

// state is a version for people, and the digest that says whether it is the
// same.
type state struct {
	text   string
	digest manifests.Digest
}

func states(lock manifests.Lock) map[stateKey]state {
	found := map[stateKey]state{}
	for _, in := range lock.Inputs {
		put := func(name, text string, digest manifests.Digest) {
			found[stateKey{in.Source, in.Arch, name}] = state{text, digest}
		}
		switch {
		case in.Image != nil:
			put(in.Image.Reference, short(in.Image.Manifest.Digest), in.Image.Manifest.Digest)
		case in.File != nil:
			put(in.Path, short(in.File.Digest), in.File.Digest)
		}
		for _, p := range in.Packages {
			put(p.Name+":"+p.Arch, p.Version, p.Digest)
		}
	}
	return found
}

// short is enough of a digest to tell two apart by eye.
func short(d manifests.Digest) string { return d.String()[:len("sha256:")+12] }
