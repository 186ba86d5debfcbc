package configure_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

// known are the differences to a root that mmdebstrap makes, each with its
// reason, by the beginning of the path.
var known = []struct{ prefix, reason string }{}

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
	lines = slices.DeleteFunc(lines, func(line string) bool {
		_, path, _ := strings.Cut(line, ": ")
		return slices.ContainsFunc(known, func(k struct{ prefix, reason string }) bool { return strings.HasPrefix(path, k.prefix) })
	})
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
