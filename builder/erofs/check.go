package erofs

import (
	"fmt"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// The extended attributes that Linux shows from an EROFS. The two names of
// POSIX ACLs stand alone; the others are prefixes.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

var xattrPrefixes = []string{"user.", "trusted.", "security."}

// check refuses what a tree may hold but an image cannot show. The tree has
// checked the rest: names, modes, device numbers, lengths.
func check(path string, n *tree.Node) error {
	for name := range n.Xattrs {
		if !canStoreXattr(name) {
			return fmt.Errorf("%q: extended attribute %q: want user.*, trusted.*, security.*, %s or %s", path, name, aclAccess, aclDefault)
		}
	}
	return nil
}

func canStoreXattr(name string) bool {
	if name == aclAccess || name == aclDefault {
		return true
	}
	for _, prefix := range xattrPrefixes {
		if strings.HasPrefix(name, prefix) && name != prefix {
			return true
		}
	}
	return false
}

// fromLibrary is the attribute that go-erofs calls name. It takes the ACLs for
// prefixes that end in a dot.
func fromLibrary(name string) string {
	if name == aclAccess+"." || name == aclDefault+"." {
		return name[:len(name)-1]
	}
	return name
}
