package configure_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

// known are the differences to a root that mmdebstrap makes, each with its
// reason, by the beginning of the path.
var known = []struct{ prefix, reason string }{
	{"dev/", "a kernel has its own"},
	{"run/", "a machine starts with it empty"},
	{"etc/rc", "systemd starts services by their units; insserv's order of scripts is not made"},
	{"etc/runit/runsvdir/", "systemd is what starts services"},
	{"etc/apt/sources.list", "mmdebstrap's own, as are hostname, resolv.conf and fstab"},
	{"etc/hostname", "see sources.list"},
	{"etc/resolv.conf", "see sources.list"},
	{"etc/fstab", "see sources.list"},
	{"etc/passwd-", "a backup"},
	{"etc/shadow-", "a backup"},
	{"etc/group-", "a backup"},
	{"etc/gshadow-", "a backup"},
	{"etc/.pwd.lock", "a lock"},
	{"etc/passwd ", "compared line by line"},
	{"etc/group ", "compared line by line"},
	{"etc/gshadow ", "compared line by line"},
	{"etc/shells ", "compared line by line"},
	{"usr/lib/modules/", "indexed by another step; the kernel's files are not unpacked here"},
	{"boot/", "the kernel's files are not unpacked here"},
	{"usr/share/doc/linux-image-", "the kernel's files are not unpacked here"},
	{"usr/share/lintian/overrides/linux-image-", "the kernel's files are not unpacked here"},
	{"usr/share/bug/linux-image-", "the kernel's files are not unpacked here"},
	{"vmlinuz", "systemd-boot starts the image"},
	{"usr/lib/udev/hwdb.bin", "a machine makes it when it starts first"},
	{"var/lib/systemd/catalog", "a machine makes it when it starts first"},
	{"var/lib/systemd/deb-systemd-helper-enabled", "for upgrades by apt, which a host has none of"},
	{"var/lib/dpkg/", "written by the reader of packages, but for alternatives, diversions and statoverride"},
	{"var/lib/apt/", "apt's state, which apt makes"},
	{"var/cache/apt/", "apt's state, which apt makes"},
	{"var/cache/debconf/", "debconf is not asked"},
	{"var/lib/ucf/", "for upgrades by apt, which a host has none of"},
	{"var/lib/dbus/machine-id", "mmdebstrap removes it; tmpfiles.d makes it at each boot"},
}

// kept are the files under a known difference that are compared all the same.
var kept = []string{"var/lib/dpkg/alternatives/", "var/lib/dpkg/diversions ", "var/lib/dpkg/statoverride "}

// differences compares two trees by path, kind, mode, owner's name, target and
// content.
func differences(t *testing.T, got, want *tree.Tree) []string {
	t.Helper()
	ours, theirs := describe(t, got), describe(t, want)
	var lines []string
	for path := range theirs {
		if _, ok := ours[path]; !ok {
			lines = append(lines, "missing: "+path+" "+theirs[path])
		}
	}
	for path, line := range ours {
		other, ok := theirs[path]
		if !ok {
			lines = append(lines, "not theirs: "+path+" "+line)
		} else if other != line {
			lines = append(lines, "differs: "+path+" "+line+", theirs "+other)
		}
	}
	used := map[string]bool{}
	lines = slices.DeleteFunc(lines, func(line string) bool {
		_, path, _ := strings.Cut(line, ": ")
		if slices.ContainsFunc(kept, func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
			return false
		}
		return slices.ContainsFunc(known, func(k struct{ prefix, reason string }) bool {
			is := strings.HasPrefix(path, k.prefix)
			used[k.prefix] = used[k.prefix] || is
			return is
		})
	})
	for _, k := range known {
		if !used[k.prefix] {
			lines = append(lines, fmt.Sprintf("%s is no difference any more: %s", k.prefix, k.reason))
		}
	}
	slices.Sort(lines)
	return lines
}

func describe(t *testing.T, of *tree.Tree) map[string]string {
	t.Helper()
	users, groups := names(t, of, "etc/passwd"), names(t, of, "etc/group")
	lines := map[string]string{}
	err := of.Walk(func(path string, n *tree.Node) error {
		line := fmt.Sprintf("%s %04o %s:%s", n.Kind, n.Mode, users[fmt.Sprint(n.UID)], groups[fmt.Sprint(n.GID)])
		switch n.Kind {
		case tree.Symlink:
			line += " -> " + n.Target
		case tree.File:
			sum := sha256.New()
			if n.Content.Size > 0 {
				if _, err := io.Copy(sum, n.Content.Open()); err != nil {
					return err
				}
			}
			line += fmt.Sprintf(" %d bytes %x", n.Content.Size, sum.Sum(nil)[:4])
		}
		lines[path] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// names are the names in a file such as etc/passwd by their numbers.
func names(t *testing.T, of *tree.Tree, path string) map[string]string {
	t.Helper()
	data, err := of.ReadFile(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(line, ":")
		out[fields[2]] = fields[0]
	}
	return out
}

// withoutNumbers are the lines of a file such as etc/passwd, sorted, with ids
// that are given at run time masked: Debian gives them in the order that
// packages happen to be configured in.
func withoutNumbers(t *testing.T, of *tree.Tree, path string) []string {
	t.Helper()
	data, err := of.ReadFile(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for i, line := range lines {
		fields := strings.Split(line, ":")
		for j := 2; j < min(4, len(fields)) && len(fields) != 9; j++ {
			if id, err := strconv.Atoi(fields[j]); err == nil && id > 100 && id < 1000 || fields[j] == "100" && fields[0] != "users" {
				fields[j] = "#"
			}
		}
		lines[i] = strings.Join(fields, ":")
	}
	slices.Sort(lines)
	return lines
}
