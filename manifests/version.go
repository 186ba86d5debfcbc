package manifests

import (
	"fmt"
	"strings"
)

// Version is the version of a release, such as "1.4.0" or "2026.11~rc1".
// Versions are compared by the UAPI Version Format Specification (UAPI.10),
// the one that systemd's tools use: numbers by value, "~" sorts before the
// end of the string, "-" separates a release suffix.
type Version string

const versionMost = 64

// ParseVersion checks that s is usable as a version, a file name and a target
// name at once: 1 to 64 characters of [A-Za-z0-9._~^+-], the first a letter or
// a digit.
func ParseVersion(s string) (Version, error) {
	const rule = "want 1 to 64 of A-Z a-z 0-9 . _ ~ ^ + -, starting with a letter or digit"
	if s == "" || len(s) > versionMost || !isAlphanumeric(s[0]) {
		return "", fmt.Errorf("version %q: %s", clip(s), rule)
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && !strings.ContainsRune("._~^+-", rune(s[i])) {
			return "", fmt.Errorf("version %q: %s", clip(s), rule)
		}
	}
	return Version(s), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Version) UnmarshalText(text []byte) error {
	parsed, err := ParseVersion(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}

// Compare returns -1, 0 or +1 as v is older than, equal to or newer than w.
func (v Version) Compare(w Version) int { return compareVersions(string(v), string(w)) }

// compareVersions is the algorithm of UAPI.10, section "Comparison".
func compareVersions(a, b string) int {
	for {
		a = strings.TrimLeftFunc(a, isIgnoredInVersion)
		b = strings.TrimLeftFunc(b, isIgnoredInVersion)

		// A tilde sorts before everything, also before the end.
		switch ta, tb := strings.HasPrefix(a, "~"), strings.HasPrefix(b, "~"); {
		case ta && tb:
			a, b = a[1:], b[1:]
			continue
		case ta:
			return -1
		case tb:
			return +1
		}
		if a == "" || b == "" {
			return sign(len(a) - len(b))
		}
		// The separators, each in its turn: an older one on one side only decides.
		decided, result := false, 0
		for _, separator := range []struct {
			char  string
			alone int // the result when only a has it
		}{{"-", -1}, {"^", -1}, {".", -1}} {
			ha, hb := strings.HasPrefix(a, separator.char), strings.HasPrefix(b, separator.char)
			if ha && hb {
				a, b = a[1:], b[1:]
				decided = true
				break
			}
			if ha {
				return separator.alone
			}
			if hb {
				return -separator.alone
			}
		}
		if decided {
			continue
		}
		if isDigit(a[0]) || isDigit(b[0]) {
			var na, nb string
			na, a = cutRun(a, isDigit)
			nb, b = cutRun(b, isDigit)
			result = compareNumbers(na, nb)
		} else {
			var wa, wb string
			wa, a = cutRun(a, isLetter)
			wb, b = cutRun(b, isLetter)
			result = strings.Compare(wa, wb)
		}
		if result != 0 {
			return result
		}
	}
}

// compareNumbers compares digit strings of any length by value; an empty
// string is smaller than "0".
func compareNumbers(a, b string) int {
	if a == "" || b == "" {
		return sign(len(a) - len(b))
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

func cutRun(s string, in func(byte) bool) (run, rest string) {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

func isIgnoredInVersion(r rune) bool {
	return r > 127 || !isAlphanumeric(byte(r)) && !strings.ContainsRune("~-^.", r)
}

func isDigit(c byte) bool        { return c >= '0' && c <= '9' }
func isLetter(c byte) bool       { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isAlphanumeric(c byte) bool { return isDigit(c) || isLetter(c) }

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return +1
	}
	return 0
}
