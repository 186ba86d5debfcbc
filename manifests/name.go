package manifests

import (
	"fmt"
	"regexp"
)

var nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CheckName checks the name of a product, a channel or an artifact, which is a
// part of paths and of targets. What is the word for it in the error.
func CheckName(what, name string) error {
	if !nameRule.MatchString(name) {
		return fmt.Errorf("%s %q: want 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit", what, clip(name))
	}
	return nil
}
