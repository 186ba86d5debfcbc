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
