package overlay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/overlay"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

// item is something in a folder: a directory if the path ends in a slash, a
// link if it has a target.
type item struct {
	path, body, target string
	mode               os.FileMode
}

func makeFolder(t *testing.T, items ...item) string {
	t.Helper()
	root := t.TempDir()
	for _, i := range items {
		at := filepath.Join(root, i.path)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		switch {
		case strings.HasSuffix(i.path, "/"):
			err = errors.Join(err, os.MkdirAll(at, 0o755))
		case i.target != "":
			err = errors.Join(err, os.Symlink(i.target, at))
		default:
			err = errors.Join(err, os.WriteFile(at, []byte(i.body), 0o644))
		}
		if i.mode != 0 {
			err = errors.Join(err, os.Chmod(at, i.mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func add(t *testing.T, base []byte, dir string, entries ...overlay.Entry) ([]string, error) {
	t.Helper()
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	into := tree.New()
	if base != nil {
		if err := tarball.Add(t.Context(), store, into, tarball.Config{Name: "base", Reader: bytes.NewReader(base)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := overlay.Add(t.Context(), store, into, overlay.Config{Name: "overlay", Dir: dir, Entries: entries}); err != nil {
		return nil, err
	}
	lines, err := treetest.List(into)
	if err != nil {
		t.Fatal(err)
	}
	return lines, nil
}

func mode(m uint32) *uint32 { return &m }

func TestFolderArrivesOverEarlierSources(t *testing.T) {
	base := tartest.Archive(
		tartest.Raw(tartest.Fields{Name: "root", Type: '5', Mode: "0000700", UID: "0000007"}),
		tartest.Dir("usr/lib"), tartest.Symlink("lib", "usr/lib"), tartest.File("etc/passwd", "www:x:33:33::/:/bin/sh\n"),
		tartest.File("etc/resolv.conf", "old"))
	dir := makeFolder(t,
		item{path: "root/.profile", body: "p"}, item{path: "lib/modules/m.ko", body: "m"}, item{path: "usr/bin/tool", body: "t", mode: 0o700},
		item{path: "usr/bin/other", body: "t", mode: 0o610}, item{path: "etc/resolv.conf", target: "../run/resolv.conf"},
		item{path: "etc/group", body: "app:x:1000:\n"}, item{path: "var/www/"}, item{path: "su", body: "s", mode: 0o755 | os.ModeSetuid})
	if err := os.Link(filepath.Join(dir, "su"), filepath.Join(dir, "su2")); err != nil {
		t.Fatal(err)
	}
	got, err := add(t, base, dir,
		overlay.Entry{Path: "var/**", Owner: "www", Group: "app"},
		overlay.Entry{Path: "/su*", Mode: mode(0o4755)},
		overlay.Entry{Path: "./root/", Mode: mode(0o750)},
		overlay.Entry{Path: "**/*.ko", Mode: mode(0o600), Owner: "12"},
		overlay.Entry{Path: "lib", Group: "app"},
		overlay.Entry{Path: ".", Mode: mode(0o555)},
		overlay.Entry{Path: "etc/resolv.conf", Mode: mode(0o600), Owner: "www"},
		overlay.Entry{Path: "usr/**/tool", Mode: mode(0o711)},
		overlay.Entry{Path: "usr/*/[t]ool", Owner: "www"})
	want := []string{
		". directory 0555 0:0",
		"etc directory 0755 0:0", `etc/group file 0644 0:0 "app:x:1000:\n"`, `etc/passwd file 0644 0:0 "www:x:33:33::/:/bin/sh\n"`,
		"etc/resolv.conf symbolic link 0777 33:0 -> ../run/resolv.conf",
		"lib symbolic link 0777 0:0 -> usr/lib",
		"root directory 0750 7:0", `root/.profile file 0644 0:0 "p"`,
		`su file 4755 0:0 "s"`, `su2 file 4755 0:0 "s"`,
		"usr directory 0755 0:0", "usr/bin directory 0755 0:0", `usr/bin/other file 0755 0:0 "t"`, `usr/bin/tool file 0711 33:0 "t"`,
		"usr/lib directory 0755 0:1000", "usr/lib/modules directory 0755 0:0", `usr/lib/modules/m.ko file 0600 12:0 "m"`,
		"var directory 0755 0:0", "var/www directory 0755 33:1000",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSameFolderIsTheSameTreeWhoeverMadeIt(t *testing.T) {
	var want []string
	for _, umask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(umask)
		dir := t.TempDir()
		var err error
		for _, i := range rand.Perm(50) {
			file := filepath.Join(dir, fmt.Sprint("d", i%7), fmt.Sprint("f", i))
			perm := os.FileMode(0o666)
			if i%3 == 0 {
				perm = 0o777
			}
			err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte{byte(i)}, perm),
				os.Chtimes(file, time.Time{}, time.Unix(rand.Int64N(1<<30), 0)))
		}
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		got, err := add(t, nil, dir)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("umask %03o:\n%s\nwant\n%s", umask, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestFolderThatIsNotFitIsRefused(t *testing.T) {
	dir := makeFolder(t, item{path: "a/f", body: "x"})
	plain := filepath.Join(dir, "a/f")
	fifo := makeFolder(t)
	if err := syscall.Mkfifo(filepath.Join(fifo, "p"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := makeFolder(t)
	listener, err := net.Listen("unix", filepath.Join(socket, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, c := range []struct {
		what, dir, message string
		entry              overlay.Entry
	}{
		{"no folder", filepath.Join(dir, "none"), "no such file", overlay.Entry{}},
		{"a file", plain, "not a directory", overlay.Entry{}},
		{"a FIFO for a folder", filepath.Join(fifo, "p"), "not a directory", overlay.Entry{}},
		{"a FIFO", fifo, "p: mode p", overlay.Entry{}},
		{"a socket", socket, "s: mode S", overlay.Entry{}},
		{"nothing matches", dir, `"b/*" matches nothing`, overlay.Entry{Path: "b/*", Owner: "0"}},
		{"star stays in its folder", dir, `"*f" matches nothing`, overlay.Entry{Path: "*f", Owner: "0"}},
		{"everything below is not itself", dir, `"a/f/**" matches nothing`, overlay.Entry{Path: "a/f/**", Owner: "0"}},
		{"no path", dir, "want a name", overlay.Entry{Owner: "0"}},
		{"path out of it", dir, "no ..", overlay.Entry{Path: "../*", Owner: "0"}},
		{"broken glob", dir, "syntax error in pattern", overlay.Entry{Path: "a/[", Owner: "0"}},
		{"broken glob that a name would not reach", dir, "syntax error in pattern", overlay.Entry{Path: "zzz[a-", Owner: "0"}},
		{"no change", dir, "want a mode, an owner or a group", overlay.Entry{Path: "a"}},
		{"mode too large", dir, "want at most 07777", overlay.Entry{Path: "a", Mode: mode(0o10000)}},
		{"unknown user", dir, `user "www": not in the image's etc/passwd`, overlay.Entry{Path: "a", Owner: "www"}},
		{"unknown group", dir, `group "www": not in the image's etc/group`, overlay.Entry{Path: "a", Group: "www"}},
		{"user -1", dir, `user "4294967295"`, overlay.Entry{Path: "a", Owner: "4294967295"}},
	} {
		var entries []overlay.Entry
		if c.entry != (overlay.Entry{}) {
			entries = append(entries, c.entry)
		}
		_, err := add(t, nil, c.dir, entries...)
		if err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: error %v: want %q in it", c.what, err, c.message)
		}
	}
}

func TestNamesAreBytes(t *testing.T) {
	got, err := add(t, nil, makeFolder(t, item{path: "a\xff/\n", body: "x"}), overlay.Entry{Path: "a?/*", Owner: "1"})
	want := []string{". directory 0755 0:0", `"a\xff" directory 0755 0:0`, `"a\xff/\n" file 0644 1:0 "x"`}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v: want %q", got, err, want)
	}
}

func TestLinksOnTheHostAreNotFollowed(t *testing.T) {
	dir := makeFolder(t, item{path: "out", target: "/etc"}, item{path: "up", target: "../../../../etc/passwd"},
		item{path: "loop", target: "loop"}, item{path: "self", target: "."})
	got, err := add(t, nil, dir)
	want := []string{
		". directory 0755 0:0", "loop symbolic link 0777 0:0 -> loop", "out symbolic link 0777 0:0 -> /etc",
		"self symbolic link 0777 0:0 -> .", "up symbolic link 0777 0:0 -> ../../../../etc/passwd",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v: want %q", got, err, want)
	}
}

func TestConflictOfKindNamesBothSources(t *testing.T) {
	_, err := add(t, tartest.Archive(tartest.File("etc", "x")), makeFolder(t, item{path: "etc/f", body: "x"}))
	var conflict *tree.ConflictError
	if !errors.As(err, &conflict) || conflict.Earlier.Source != "base" || conflict.Later.Source != "overlay" {
		t.Errorf("error %v: want a conflict of base and overlay", err)
	}
}

func TestCancelledReadEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	err = overlay.Add(ctx, store, tree.New(), overlay.Config{Name: "overlay", Dir: makeFolder(t, item{path: "f"})})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want context.Canceled", err)
	}
}

func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"etc/**", "etc/a/b"}, {"**/*.ko", "m.ko"}, {"a/**/b", "a/b"}, {".", "x"}, {"[a-c]*", "b"}, {"**/**/**", "a/b/c"}, {"a\\*b", "a*b"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		if clean, err := tree.Clean(name); err != nil || clean != name || strings.Count(name, "/") > 3 {
			return
		}
		if name == "." || len(name) > 60 {
			return
		}
		dir := makeFolder(t, item{path: name})
		_, err := add(t, nil, dir, overlay.Entry{Path: glob, Owner: "1"})
		// Without "**", path.Match on the whole path is the oracle.
		clean, cleanErr := tree.Clean(strings.TrimSuffix(glob, "/"))
		if cleanErr != nil || strings.Contains(glob, "**") || strings.ContainsAny(glob, `\[`) {
			return
		}
		matched := clean == "."
		for at := name; at != "."; at = path.Dir(at) {
			ok, matchErr := path.Match(clean, at)
			if matchErr != nil {
				return
			}
			matched = matched || ok
		}
		if matched != (err == nil) {
			t.Errorf("%q on %q: %v: want a match: %v", glob, name, err, matched)
		}
	})
}
