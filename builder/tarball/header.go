package tarball

import (
	"archive/tar"
	"fmt"
	"math"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

const (
	gnuVolumeLabel = 'V'
	xattrPrefix    = "SCHILY.xattr."
	aclPrefix      = "SCHILY.acl."
	sparsePrefix   = "GNU.sparse."
)

// nodeOf is the node that a header describes, without its content.
func nodeOf(h *tar.Header) (*tree.Node, error) {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, aclPrefix) {
			return nil, fmt.Errorf("an ACL as text (%s): want it as an extended attribute, as tar --xattrs --xattrs-include='*' without --acls stores it", key)
		}
	}
	n := &tree.Node{Mode: uint32(h.Mode) & 0o7777, Xattrs: xattrsOf(h)}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		n.Kind = tree.File
		if strings.HasSuffix(h.Name, "/") {
			n.Kind = tree.Directory // of archives older than the directory type
		}
	case tar.TypeDir:
		n.Kind = tree.Directory
	case tar.TypeSymlink:
		n.Kind, n.Target = tree.Symlink, h.Linkname
		n.Mode = 0o777 // whatever the archive says: Linux has no other
	case tar.TypeChar:
		n.Kind = tree.CharDevice
	case tar.TypeBlock:
		n.Kind = tree.BlockDevice
	case tar.TypeFifo:
		n.Kind = tree.FIFO
	default:
		return nil, fmt.Errorf("type %q: want a file, directory, link, device or FIFO", h.Typeflag)
	}
	var err error
	if n.UID, err = number("owner", int64(h.Uid)); err != nil {
		return nil, err
	}
	if n.GID, err = number("group", int64(h.Gid)); err != nil {
		return nil, err
	}
	if n.Kind != tree.CharDevice && n.Kind != tree.BlockDevice {
		return n, nil
	}
	if n.Device.Major, err = number("major device number", h.Devmajor); err != nil {
		return nil, err
	}
	n.Device.Minor, err = number("minor device number", h.Devminor)
	return n, err
}

func number(what string, v int64) (uint32, error) {
	if v < 0 || v >= math.MaxUint32 {
		return 0, fmt.Errorf("%s %d: want 0 to %d", what, v, uint32(math.MaxUint32-1))
	}
	return uint32(v), nil
}

// xattrsOf reads the PAX records that star, GNU tar and libarchive use for
// extended attributes; values are bytes.
func xattrsOf(h *tar.Header) map[string]string {
	var xattrs map[string]string
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, xattrPrefix); ok {
			if xattrs == nil {
				xattrs = map[string]string{}
			}
			xattrs[name] = value
		}
	}
	return xattrs
}

// isSparse also says yes to sparse records that archive/tar does not know and
// so reads as the plain file that they are without them.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, sparsePrefix) {
			return true
		}
	}
	return false
}

// trimSlashes takes the slashes off the end, but leaves the root its one.
func trimSlashes(name string) string {
	if trimmed := strings.TrimRight(name, "/"); trimmed != "" || name == "" {
		return trimmed
	}
	return "/"
}
