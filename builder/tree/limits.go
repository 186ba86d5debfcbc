package tree

import (
	"fmt"
	"strings"
)

// Limits bound what a tree may hold, so that a hostile source cannot exhaust
// the builder.
type Limits struct {
	Entries  int   // names
	Bytes    int64 // of file contents
	Metadata int64 // bytes of names, link targets and extended attributes
}

// DefaultLimits are far above any operating system: 2^20 names, 64 GiB of
// contents, 256 MiB of metadata.
func DefaultLimits() Limits {
	return Limits{Entries: 1 << 20, Bytes: 64 << 30, Metadata: 256 << 20}
}

// What Linux allows: NAME_MAX, PATH_MAX, XATTR_NAME_MAX, XATTR_SIZE_MAX, the
// links followed in one path, and the parts of its device numbers.
const (
	maxName      = 255
	maxPath      = 4096
	maxXattrName = 255
	maxXattrs    = 64 << 10 // names and values of one node together
	maxHops      = 40
	maxSteps     = 4096 // names walked for one path, links included
	maxMajor     = 1<<12 - 1
	maxMinor     = 1<<20 - 1
)

// charge counts a new name for n against the limits, while what it replaces
// still counts, too.
func (t *Tree) charge(name string, n *Node) error {
	next := t.used
	next.Entries++
	next.Metadata += int64(len(name))
	if n.links == 0 {
		// Compared before the addition, so that a huge size cannot overflow.
		if n.Content.Size > t.limits.Bytes-next.Bytes {
			return fmt.Errorf("the tree would hold more than %d bytes of contents", t.limits.Bytes)
		}
		next.Bytes += n.Content.Size
		next.Metadata += n.metadata()
	}
	if next.Entries > t.limits.Entries {
		return fmt.Errorf("the tree would have more than %d entries", t.limits.Entries)
	}
	if next.Metadata > t.limits.Metadata {
		return fmt.Errorf("the tree would have more than %d bytes of names, link targets and extended attributes", t.limits.Metadata)
	}
	t.used = next
	n.links++
	return nil
}

// release gives back what charge counted for a name and all below it.
func (t *Tree) release(name string, n *Node) {
	for childName, child := range n.children {
		t.release(childName, child)
	}
	n.links--
	t.used.Entries--
	t.used.Metadata -= int64(len(name))
	if n.links == 0 {
		t.used.Bytes -= n.Content.Size
		t.used.Metadata -= n.metadata()
	}
}

func (n *Node) metadata() int64 {
	return int64(len(n.Target)) + xattrBytes(n.Xattrs)
}

func xattrBytes(xattrs map[string]string) int64 {
	var sum int64
	for name, value := range xattrs {
		sum += int64(len(name)) + int64(len(value))
	}
	return sum
}

// check refuses a node that no file system of Linux could hold.
func (n *Node) check() error {
	switch {
	case n.Kind > Socket:
		return fmt.Errorf("kind %d is unknown", n.Kind)
	case n.Mode > 0o7777:
		return fmt.Errorf("mode %#o: want at most 07777", n.Mode)
	case n.UID == 1<<32-1 || n.GID == 1<<32-1:
		return fmt.Errorf("owner %d:%d: want less than 4294967295", n.UID, n.GID)
	case n.Content.Size < 0:
		return fmt.Errorf("size of %d bytes: want 0 or more", n.Content.Size)
	case n.Content.Size > 0 && n.Content.At == nil:
		return fmt.Errorf("size of %d bytes, but no content", n.Content.Size)
	case n.Kind != File && n.Content.Size > 0:
		return fmt.Errorf("a %s has content", n.Kind)
	case n.Device.Major > maxMajor || n.Device.Minor > maxMinor:
		return fmt.Errorf("device %d:%d: want at most %d:%d", n.Device.Major, n.Device.Minor, maxMajor, maxMinor)
	}
	if n.Kind == Symlink {
		if n.Target == "" || len(n.Target) >= maxPath || strings.Contains(n.Target, "\x00") {
			return fmt.Errorf("symbolic link to %s: want 1 to %d bytes without NUL", quote(n.Target), maxPath-1)
		}
	}
	return checkXattrs(n.Xattrs)
}

func checkXattrs(xattrs map[string]string) error {
	for name := range xattrs {
		// xattr(7): the name has a namespace and an attribute part.
		namespace, attribute, ok := strings.Cut(name, ".")
		if !ok || namespace == "" || attribute == "" || len(name) > maxXattrName || strings.Contains(name, "\x00") {
			return fmt.Errorf("extended attribute %s: want namespace.name of at most %d bytes without NUL", quote(name), maxXattrName)
		}
	}
	if sum := xattrBytes(xattrs); sum > maxXattrs {
		return fmt.Errorf("extended attributes of %d bytes: want at most %d", sum, maxXattrs)
	}
	return nil
}

// quote shows foreign text in an error message.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
