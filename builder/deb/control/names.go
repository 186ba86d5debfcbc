package control

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	maxName    = 200 // longer ones leave no room for ".md5sums" in a file name
	maxVersion = 1024
)

// CheckName refuses what dpkg does not take for the name of a package: letters,
// digits and - + . _, a letter or digit first.
func CheckName(name string) error {
	ok := name != "" && len(name) <= maxName && isAlnum(name[0])
	for i := 0; ok && i < len(name); i++ {
		ok = isAlnum(name[i]) || strings.IndexByte("-+._", name[i]) >= 0
	}
	if !ok {
		return fmt.Errorf("package name %.60q: want letters, digits and - + . _, at most %d", name, maxName)
	}
	return nil
}

// CheckArch refuses what cannot be the name of an architecture.
func CheckArch(arch string) error {
	ok := arch != "" && len(arch) <= 64 && isAlnum(arch[0])
	for i := 0; ok && i < len(arch); i++ {
		ok = isAlnum(arch[i]) || arch[i] == '-'
	}
	if !ok {
		return fmt.Errorf("architecture %.60q: want letters, digits and -", arch)
	}
	return nil
}

// CheckVersion refuses what deb-version(7) does not allow:
// [epoch:]upstream[-revision].
func CheckVersion(version string) error {
	refuse := func(rule string) error { return fmt.Errorf("version %.60q: %s", version, rule) }
	if version == "" || len(version) > maxVersion {
		return refuse(fmt.Sprintf("want 1 to %d bytes", maxVersion))
	}
	epoch, rest, found := strings.Cut(version, ":")
	if !found {
		epoch, rest = "0", version
	}
	if _, err := strconv.ParseUint(epoch, 10, 31); err != nil {
		return refuse(fmt.Sprintf("epoch %.20q: want 0 to 2147483647", epoch))
	}
	upstream, revision, hasRevision := cutLast(rest, '-')
	if upstream == "" || hasRevision && revision == "" {
		return refuse("want something on both sides of the last -")
	}
	if upstream[0] < '0' || upstream[0] > '9' {
		return refuse("want a digit first")
	}
	for i := 0; i < len(rest); i++ {
		if !isAlnum(rest[i]) && strings.IndexByte(".+-~:", rest[i]) < 0 {
			return refuse("want letters, digits and . + - ~ :")
		}
	}
	if strings.Contains(revision, ":") {
		return refuse("want no : behind the last -")
	}
	return nil
}

// Compare is negative when version a is older than b, 0 when they are the
// same, by deb-version(7). Both have been checked.
func Compare(a, b string) int {
	epochA, upstreamA, revisionA := parts(a)
	epochB, upstreamB, revisionB := parts(b)
	for _, pair := range [][2]string{{epochA, epochB}, {upstreamA, upstreamB}, {revisionA, revisionB}} {
		if c := comparePart(pair[0], pair[1]); c != 0 {
			return c
		}
	}
	return 0
}

func parts(version string) (epoch, upstream, revision string) {
	epoch, rest, found := strings.Cut(version, ":")
	if !found {
		epoch, rest = "", version
	}
	upstream, revision, _ = cutLast(rest, '-')
	return epoch, upstream, revision
}

// comparePart compares by turns what is no digit, byte by byte with letters
// before others and ~ before the end, and numbers.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !isDigit(a[0]) || b != "" && !isDigit(b[0]) {
			x, y := weight(a), weight(b)
			if x != y {
				return x - y
			}
			a, b = a[1:], b[1:] // the same weight, so neither is at its end or a digit
		}
		x, restA := number(a)
		y, restB := number(b)
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return 0
}

// weight orders the first byte of s; the end and digits are 0.
func weight(s string) int {
	switch {
	case s == "" || isDigit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case isAlnum(s[0]):
		return int(s[0])
	}
	return int(s[0]) + 256
}

// number is the number at the front of s without zeros before it.
func number(s string) (digits, rest string) {
	end := 0
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	return strings.TrimLeft(s[:end], "0"), s[end:]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlnum(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
