// Package debtest makes .deb files for tests: such as dpkg-deb makes, and such
// as no honest program would.
package debtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tarball/tartest"
)

// Member is a member of an ar archive.
type Member struct {
	Name string
	Body []byte
}

// Archive is an ar archive of these members.
func Archive(members ...Member) []byte {
	var all bytes.Buffer
	all.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&all, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.Name, 0, 0, 0, "100644", len(m.Body))
		all.Write(m.Body)
		if len(m.Body)%2 == 1 {
			all.WriteByte('\n')
		}
	}
	return all.Bytes()
}

// Version is the first member of every package.
func Version() Member { return Member{"debian-binary", []byte("2.0\n")} }

// Control is a control.tar with this text and other files, pairs of name and
// body.
func Control(text string, others ...string) Member {
	parts := []tartest.Part{tartest.Dir("./"), tartest.File("./control", text)}
	for i := 0; i+1 < len(others); i += 2 {
		parts = append(parts, tartest.File("./"+others[i], others[i+1]))
	}
	return Member{"control.tar", tartest.Archive(parts...)}
}

// Text is a control file with all that must be in one.
const Text = "Package: hostile\nVersion: 1\nArchitecture: amd64\nMaintainer: T <t@example.org>\nDescription: x\n"

// Package is a package with this tar archive as its files.
func Package(data []byte) []byte {
	return Archive(Version(), Control(Text), Member{"data.tar", data})
}

// Build makes name.deb in a folder with dpkg-deb: of a control file, and other
// files by their paths, those below DEBIAN included. Files with "#!" are
// programs; a body "-> x" makes a link to x.
func Build(t testing.TB, folder, name, control string, files map[string]string, args ...string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), name)
	write := func(path, body string) {
		t.Helper()
		at := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(body, "#!") {
			mode = 0o755
		}
		var err error
		if target, ok := strings.CutPrefix(body, "-> "); ok {
			err = os.Symlink(target, at)
		} else if err = os.WriteFile(at, []byte(body), mode); err == nil {
			err = os.Chmod(at, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("DEBIAN/control", control)
	for path, body := range files {
		write(path, body)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(folder, name+".deb")
	cmd := exec.Command("dpkg-deb", append(append([]string{}, args...), "--build", root, at)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	return at
}
