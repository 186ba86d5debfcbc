package version

import (
	"cmp"
	"strings"
)

// Debian compares two versions of Debian packages as deb-version(7) says,
// "epoch:upstream-revision", and is -1, 0 or 1. A missing epoch is 0, and a
// missing revision is the same as "0".
func Debian(a, b string) int {
	x, y := splitDebian(a), splitDebian(b)
	if c := compareDigits(x.epoch, y.epoch); c != 0 {
		return c
	}
	if c := compareDebian(x.upstream, y.upstream); c != 0 {
		return c
	}
	return compareDebian(x.revision, y.revision)
}

type debianVersion struct{ epoch, upstream, revision string }

func splitDebian(s string) debianVersion {
	v := debianVersion{epoch: "0", upstream: s}
	// What is no number is no epoch: dpkg refuses it, here it needs a place.
	if i := strings.IndexByte(s, ':'); i > 0 && run(s, isDigit) == i {
		v.epoch, v.upstream = s[:i], s[i+1:]
	}
	if i := strings.LastIndexByte(v.upstream, '-'); i >= 0 {
		v.upstream, v.revision = v.upstream[:i], v.upstream[i+1:]
	}
	return v
}

// compareDebian compares in turn what is not digits, by rank, and what is, by
// value.
func compareDebian(a, b string) int {
	other := func(c byte) bool { return !isDigit(c) }
	for a != "" || b != "" {
		i, j := run(a, other), run(b, other)
		for k := range max(i, j) {
			if c := cmp.Compare(rank(a[:i], k), rank(b[:j], k)); c != 0 {
				return c
			}
		}
		a, b = a[i:], b[j:]
		i, j = run(a, isDigit), run(b, isDigit)
		if c := compareDigits(a[:i], b[:j]); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return 0
}

// rank orders "~" before the end, that before letters, and letters before the
// rest.
func rank(s string, i int) int {
	switch {
	case i >= len(s):
		return 0
	case s[i] == '~':
		return -1
	case isLetter(s[i]):
		return int(s[i])
	default:
		return int(s[i]) + 256
	}
}
