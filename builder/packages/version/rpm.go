// Package version compares the versions of packages as rpm and dpkg do. Any
// two texts can be compared: what no packager would write has a place in the
// order, too.
package version

import (
	"cmp"
	"strings"
)

// RPM compares two versions of RPM packages, "epoch:version-release", and is
// -1, 0 or 1. A missing epoch is 0; a missing release is older than any.
func RPM(a, b string) int {
	x, y := splitRPM(a), splitRPM(b)
	if c := x.compareUpstream(y); c != 0 {
		return c
	}
	if x.release == "" || y.release == "" {
		return cmp.Compare(min(len(x.release), 1), min(len(y.release), 1))
	}
	return compareRPM(x.release, y.release)
}

// RPMRange compares two versions as the ranges of dependencies do: where one
// has no release, releases do not count. vague reports that this made them
// equal. It is no order: 1-1 and 1-2 are both equal to 1.
func RPMRange(a, b string) (order int, vague bool) {
	x, y := splitRPM(a), splitRPM(b)
	if c := x.compareUpstream(y); c != 0 {
		return c, false
	}
	if x.release == "" || y.release == "" {
		return 0, x.release != y.release
	}
	return compareRPM(x.release, y.release), false
}

type rpmVersion struct{ epoch, upstream, release string }

// splitRPM takes for the epoch what is before a colon if that is digits only,
// and for the release what is behind the last hyphen, as parseEVR of librpm.
func splitRPM(s string) rpmVersion {
	v := rpmVersion{epoch: "0"}
	digits := run(s, isDigit)
	if strings.HasPrefix(s[digits:], ":") {
		if digits > 0 {
			v.epoch = s[:digits]
		}
		s = s[digits+1:]
	}
	v.upstream = s
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		v.upstream, v.release = s[:i], s[i+1:]
	}
	return v
}

func (v rpmVersion) compareUpstream(w rpmVersion) int {
	if c := compareRPM(v.epoch, w.epoch); c != 0 {
		return c
	}
	return compareRPM(v.upstream, w.upstream)
}

// compareRPM is rpmvercmp of librpm: segments of digits or of letters are
// compared one by one, all else only separates them, except that "~" sorts
// before the end of the text, and "^" behind it but before anything longer.
func compareRPM(a, b string) int {
	separator := func(c byte) bool { return !isDigit(c) && !isLetter(c) && c != '~' && c != '^' }
	if a == b {
		return 0
	}
	for a != "" || b != "" {
		a, b = a[run(a, separator):], b[run(b, separator):]
		if c, decided, marked := compareMarks(a, b); decided {
			return c
		} else if marked {
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			break
		}
		class := isLetter
		if isDigit(a[0]) {
			class = isDigit
		}
		i, j := run(a, class), run(b, class)
		if j == 0 { // of different kinds: digits are newer
			if isDigit(a[0]) {
				return 1
			}
			return -1
		}
		x, y := a[:i], b[:j]
		if isDigit(a[0]) {
			if c := compareDigits(x, y); c != 0 {
				return c
			}
		} else if c := cmp.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return cmp.Compare(min(len(a), 1), min(len(b), 1))
}

// compareMarks looks at "~" and "^" at the start of both. marked reports that
// both start with the same one.
func compareMarks(a, b string) (order int, decided, marked bool) {
	starts := func(s, mark string) bool { return strings.HasPrefix(s, mark) }
	switch {
	case starts(a, "~") && starts(b, "~"):
		return 0, false, true
	case starts(a, "~"):
		return -1, true, false
	case starts(b, "~"):
		return 1, true, false
	case starts(a, "^") && starts(b, "^"):
		return 0, false, true
	case starts(a, "^"):
		if b == "" {
			return 1, true, false
		}
		return -1, true, false
	case starts(b, "^"):
		if a == "" {
			return -1, true, false
		}
		return 1, true, false
	}
	return 0, false, false
}

// compareDigits compares two numbers of any length.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}

// run is the length of the start of s that is of the class.
func run(s string, class func(byte) bool) int {
	n := 0
	for n < len(s) && class(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
