package depmod

import (
	"regexp"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/tree"
)

// config is what depmod.d says (depmod.d(5)); folders outside the release
// ("external") do not count, since an image's index lists its own modules.
type config struct {
	search    []string // folders, the weakest first, and builtIn
	overrides []string // bare paths, the strongest first
	exclude   []string // names of folders
}

const (
	builtIn  = "built-in"
	external = "external"
)

func readConfig(t *tree.Tree, release string) (config, error) {
	folders := []string{"etc/depmod.d", "usr/local/lib/depmod.d", "usr/lib/depmod.d", "lib/depmod.d"}
	lines, err := dropin.Read(t, dropin.Files(t, folders, ".conf")...)
	if err != nil {
		return config{}, err
	}
	var c config
	for _, line := range lines {
		words := strings.Fields(line.Text)
		switch words[0] {
		case "search":
			c.search = append(c.search, words[1:]...)
		case "override":
			if len(words) >= 4 && matches(words[2], release) {
				c.overrides = append(c.overrides, words[3]+"/"+words[1])
			}
		case "exclude":
			c.exclude = append(c.exclude, words[1:]...)
		}
	}
	if len(c.search) == 0 {
		c.search = []string{"updates"}
	}
	slices.Reverse(c.search)
	slices.Reverse(c.overrides)
	return c, nil
}

// matches reports whether an override is for the release: "*" or an extended
// regular expression.
func matches(pattern, release string) bool {
	if pattern == "*" {
		return true
	}
	re, err := regexp.CompilePOSIX(pattern)
	return err == nil && re.MatchString(release)
}

// keeps reports whether, of two modules of one name, the one found earlier
// counts.
func (c config) keeps(old, found *module) bool {
	for _, path := range c.overrides {
		switch path {
		case found.bare():
			return false
		case old.bare():
			return true
		}
	}
	otherwise, was, is := -1, -1, -1
	for i, folder := range c.search {
		switch {
		case folder == builtIn:
			otherwise = i
		case folder == external:
		case strings.HasPrefix(found.bare(), folder+"/"):
			is = i
		case strings.HasPrefix(old.bare(), folder+"/"):
			was = i
		}
	}
	if is < 0 {
		is = otherwise
	}
	if was < 0 {
		was = otherwise
	}
	return is <= was
}
