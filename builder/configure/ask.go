package configure

import (
	"path"
	"strings"

	"github.com/proa-os/proa/builder/configure/scripts"
	"github.com/proa-os/proa/builder/tree"
)

// Test implements scripts.World.
func (w *world) Test(op, at string) scripts.Status {
	switch {
	case !strings.HasPrefix(at, "/"):
		return scripts.Unknown
	case strings.HasPrefix(at, "/run/systemd/system"):
		return scripts.Failure // nothing runs
	case strings.HasPrefix(at, "/proc") || strings.HasPrefix(at, "/sys") || strings.HasPrefix(at, "/dev"):
		return scripts.Unknown
	}
	at = path.Clean(at)
	if op == "-L" || op == "-h" {
		n, ok := w.tree.Lookup(at)
		return scripts.Of(ok && n.Kind == tree.Symlink)
	}
	n, ok := w.tree.Resolve(at)
	if !ok {
		return scripts.Failure
	}
	switch op {
	case "-e", "-r", "-w":
		return scripts.Success
	case "-f":
		return scripts.Of(n.Kind == tree.File)
	case "-d":
		return scripts.Of(n.Kind == tree.Directory)
	case "-s":
		return scripts.Of(n.Kind == tree.Directory || n.Content.Size > 0)
	case "-x":
		return scripts.Of(n.Kind == tree.Directory || n.Mode&0o111 != 0)
	case "-p":
		return scripts.Of(n.Kind == tree.FIFO)
	case "-S":
		return scripts.Of(n.Kind == tree.Socket)
	case "-b":
		return scripts.Of(n.Kind == tree.BlockDevice)
	case "-c":
		return scripts.Of(n.Kind == tree.CharDevice)
	case "-u":
		return scripts.Of(n.Mode&0o4000 != 0)
	case "-g":
		return scripts.Of(n.Mode&0o2000 != 0)
	}
	return scripts.Unknown
}

// Which implements scripts.World.
func (w *world) Which(name string) string {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if at := path.Join(dir, name); w.Test("-x", at) == scripts.Success {
			return at
		}
	}
	return ""
}
