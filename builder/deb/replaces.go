package deb

import (
	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/version"
)

// Replaces reports whether the later package may have the earlier one's file
// at path (Debian Policy, section 7.6.1): whether its Replaces field names the
// earlier one. The field goes for all files. Where the earlier one replaces
// the later, the earlier one's file stays, so ask both ways.
func Replaces(later, earlier *packages.About, _ string) bool {
	stanza, err := control.Single(later.Record[recordControl], maxStanza)
	if err != nil {
		return false
	}
	relations, err := control.NewParser(later.Arch).Relations(stanza.Bytes("Replaces"))
	if err != nil {
		return false
	}
	for _, r := range relations {
		if r.Name == earlier.Name && holds(r, earlier.Version) {
			return true
		}
	}
	return false
}

// holds reports whether a version is in the range of a relation.
func holds(r packages.Relation, v string) bool {
	c := version.Debian(v, r.Version)
	switch r.Op {
	case packages.Less:
		return c < 0
	case packages.LessEqual:
		return c <= 0
	case packages.Equal:
		return c == 0
	case packages.GreaterEqual:
		return c >= 0
	case packages.Greater:
		return c > 0
	}
	return true
}
