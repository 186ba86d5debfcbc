package resolve

import (
	"fmt"
	"slices"

	"github.com/proa-os/proa/manifests"
)

// Moved lists the sources of a recipe that a lock does not answer, or answers
// for what the recipe no longer asks; and what the lock still has of sources
// that the recipe dropped. None: the lock is for this recipe.
func Moved(recipe manifests.Recipe, folder string, lock manifests.Lock) ([]string, error) {
	var moved []string
	wanted := map[string]bool{}
	for _, source := range recipe.Sources {
		if !lockable(source) {
			continue
		}
		asked, err := Asked(source, folder)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source.Name(), err)
		}
		for _, arch := range recipe.Arch {
			wanted[inputName(source.Name(), arch, asked)] = true
			if _, ok := lock.Find(source.Name(), arch, asked); !ok {
				moved = append(moved, fmt.Sprintf("%s for %s", source.Name(), arch))
			}
		}
	}
	for _, in := range lock.Inputs {
		if !wanted[inputName(in.Source, in.Arch, in.Asked)] {
			name := fmt.Sprintf("%s for %s", in.Source, in.Arch)
			if !slices.Contains(moved, name) {
				moved = append(moved, name)
			}
		}
	}
	return moved, nil
}

func inputName(source string, arch manifests.Arch, asked manifests.Digest) string {
	return source + "\x00" + string(arch) + "\x00" + asked.Hex()
}
