// Package richdeps reads what RPM packages require and provide: the strings of
// package headers and recipes (Parse), and the attributes of primary.xml
// (Requirement, Relation), both with rich dependencies as the RPM manual
// describes them
// (https://rpm-software-management.github.io/rpm/manual/boolean_dependencies.html).
//
// Whether a requirement holds is decided in builder/packages/solver.
package richdeps

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/proa-os/proa/builder/packages"
)

const (
	maxLength = 64 << 10 // bytes of a dependency; the longest in Fedora has about 2,000
	maxDepth  = 32       // parentheses in each other
)

// Parse reads a dependency: "name", "name >= 1:2.3-4" or a rich one,
// "(name >= 2 or (other if third))".
func Parse(s string) (packages.Requirement, error) {
	if len(s) > maxLength {
		return packages.Requirement{}, fmt.Errorf("dependency %s of %d bytes: want at most %d", clip(s), len(s), maxLength)
	}
	p := &parser{rest: s}
	r, err := p.operand(0)
	if err == nil {
		if p.skipSpace(); p.rest != "" {
			err = fmt.Errorf("%q is too much", shorten(p.rest))
		}
	}
	if err != nil {
		return packages.Requirement{}, fmt.Errorf("dependency %s: %w", clip(s), err)
	}
	return r, nil
}

// Requirement makes a requirement of the attributes that an entry of
// primary.xml has; a name in parentheses is a rich dependency. Flags are EQ, LT,
// LE, GE, GT or empty.
func Requirement(name, flags, epoch, version, release string) (packages.Requirement, error) {
	if strings.HasPrefix(name, "(") {
		if flags != "" {
			return packages.Requirement{}, fmt.Errorf("dependency %s: a rich one with flags %q", clip(name), shorten(flags))
		}
		return Parse(name)
	}
	r, err := Relation(name, flags, epoch, version, release)
	return packages.Requirement{Relation: r}, err
}

// Relation makes a relation of the attributes that an entry of primary.xml has.
// Without a version it is any, as RPM sees it.
func Relation(name, flags, epoch, version, release string) (packages.Relation, error) {
	op, ok := operator(flags)
	if !ok {
		return packages.Relation{}, fmt.Errorf("dependency %s: flags %q: want EQ, LT, LE, GE or GT", clip(name), shorten(flags))
	}
	if err := checkText(name, false); err != nil {
		return packages.Relation{}, fmt.Errorf("dependency %s: %w", clip(name), err)
	}
	if op == packages.Any || version == "" && release == "" {
		return packages.Relation{Name: name}, nil
	}
	evr, err := EVR(epoch, version, release)
	if err != nil {
		return packages.Relation{}, fmt.Errorf("dependency %s: %w", clip(name), err)
	}
	return packages.Relation{Name: name, Op: op, Version: evr}, nil
}

func operator(flags string) (op packages.Op, ok bool) {
	switch flags {
	case "":
		return packages.Any, true
	case "EQ":
		return packages.Equal, true
	case "LT":
		return packages.Less, true
	case "LE":
		return packages.LessEqual, true
	case "GE":
		return packages.GreaterEqual, true
	case "GT":
		return packages.Greater, true
	}
	return packages.Any, false
}

// EVR joins an epoch (empty is 0), a version and a release (may be empty) to
// "1:2.3-4"; an epoch of 0 is left away.
func EVR(epoch, version, release string) (string, error) {
	evr := version
	if release != "" {
		evr += "-" + release
	}
	if strings.Trim(epoch, "0123456789") != "" || len(epoch) > 10 {
		return "", fmt.Errorf("epoch %q: want a number", shorten(epoch))
	}
	if epoch = strings.TrimLeft(epoch, "0"); epoch != "" {
		evr = epoch + ":" + evr
	}
	if version == "" || strings.Contains(version+release, ":") {
		return "", fmt.Errorf("version %q: want one that is not empty, and at most one colon", shorten(evr))
	}
	return evr, checkText(evr, true)
}

// checkText refuses what no name or version has: control characters, and in
// versions blanks. The names of files may have them.
func checkText(s string, version bool) error {
	if s == "" || len(s) > maxLength || !utf8.ValidString(s) {
		return fmt.Errorf("%q: want valid UTF-8 of 1 to %d bytes", shorten(s), maxLength)
	}
	for _, c := range s {
		if unicode.IsControl(c) || version && unicode.IsSpace(c) {
			return fmt.Errorf("%q: want no blanks and no control characters", shorten(s))
		}
	}
	return nil
}

func clip(s string) string { return fmt.Sprintf("%q", shorten(s)) }

func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
