package etc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// layer is the folder of a machine's changes.
type layer struct {
	t   *testing.T
	dir string
}

func newLayer(t *testing.T) layer {
	t.Helper()
	l := layer{t, t.TempDir()}
	check(t, os.Mkdir(filepath.Join(l.dir, "upper"), 0o755))
	return l
}

func (l layer) path(name string) string {
	path := filepath.Join(l.dir, "upper", strings.TrimPrefix(name, "etc/"))
	check(l.t, os.MkdirAll(filepath.Dir(path), 0o755))
	return path
}

func (l layer) file(name, text string, mode os.FileMode) {
	check(l.t, os.WriteFile(l.path(name), []byte(text), mode))
	check(l.t, os.Chmod(l.path(name), mode))
}

func (l layer) whiteout(name string) { check(l.t, unix.Mknod(l.path(name), unix.S_IFCHR, 0)) }

func (l layer) opaque(name string) {
	check(l.t, os.MkdirAll(l.path(name), 0o755))
	check(l.t, unix.Lsetxattr(l.path(name), "user.overlay.opaque", []byte("y"), 0))
}

// release is a state with entries of the caller's ids, as files in tests have
// them: "folder/" is a folder, "link>target" a link, "name=content" a file.
func release(entries ...string) manifests.State {
	s := manifests.State{Schema: 1}
	for _, entry := range entries {
		e := manifests.EtcEntry{Mode: "0644", UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
		switch {
		case strings.HasSuffix(entry, "/"):
			e.Path, e.Folder, e.Mode = strings.TrimSuffix(entry, "/"), true, "0755"
		case strings.Contains(entry, ">"):
			e.Path, e.Link, _ = strings.Cut(entry, ">")
			e.Mode = "0777"
		default:
			name, text, _ := strings.Cut(entry, "=")
			e.Path, e.File = name, manifests.DigestOf([]byte(text))
		}
		s.Etc = append(s.Etc, e)
	}
	slices.SortFunc(s.Etc, func(a, b manifests.EtcEntry) int { return strings.Compare(a.Path, b.Path) })
	return s
}

func listed(changes []Change) (lines []string) {
	for _, c := range changes {
		line := fmt.Sprintf("%s %s", c.Kind, c.Path)
		if c.Reset {
			line += " reset"
		}
		lines = append(lines, line)
	}
	return lines
}

func sample(t *testing.T) (layer, manifests.State) {
	l := newLayer(t)
	l.file("etc/new", "x", 0o644)
	l.file("etc/hosts", "changed", 0o644)
	l.file("etc/shadow", "secret", 0o600)
	l.file("etc/copied", "same", 0o644)
	l.file("etc/folder", "a file now", 0o644)
	l.file("etc/ssh/sshd_config", "mine", 0o644)
	l.whiteout("etc/motd")
	l.opaque("etc/apt")
	l.file("etc/apt/mine", "", 0o644)
	check(t, os.Symlink("/dev/null", l.path("etc/localtime")))
	return l, release("etc/hosts=orig", "etc/shadow=secret", "etc/copied=same", "etc/folder/", "etc/folder/x=1",
		"etc/ssh/", "etc/ssh/sshd_config=theirs", "etc/motd=hello", "etc/apt/", "etc/apt/sources=1", "etc/localtime>UTC", "etc/passwd=p")
}

func TestDiffTellsWhatTheMachineMadeItsOwn(t *testing.T) {
	l, now := sample(t)
	check(t, RequestReset(l.dir, []string{"etc/ssh", "etc/hosts"}))
	changes, err := Diff(l.dir, now)
	check(t, err)
	want := []string{
		"replaced etc/apt", "added etc/apt/mine", "same etc/copied", "replaced etc/folder", "modified etc/hosts reset", "modified etc/localtime",
		"deleted etc/motd", "added etc/new", "metadata etc/shadow", "modified etc/ssh/sshd_config reset",
	}
	if got := listed(changes); !slices.Equal(got, want) {
		t.Errorf("changes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	check(t, RequestReset(l.dir, nil))
	changes, err = Diff(l.dir, now)
	check(t, err)
	if slices.ContainsFunc(changes, func(c Change) bool { return c.Reset }) {
		t.Errorf("the withdrawn request is still there: %v", listed(changes))
	}
}

func TestAMachineWithoutChangesHasNone(t *testing.T) {
	for _, folder := range []string{newLayer(t).dir, filepath.Join(t.TempDir(), "none")} {
		if changes, err := Diff(folder, release("etc/hosts=1")); err != nil || len(changes) > 0 {
			t.Errorf("%v, %v", changes, err)
		}
	}
}

func TestConflictsAreWhatAnUpdateChangesUnderAChange(t *testing.T) {
	l, now := sample(t)
	changes, err := Diff(l.dir, now)
	check(t, err)
	if conflicts := Conflicts(changes, now, now); len(conflicts) > 0 {
		t.Errorf("the same release: %v", conflicts)
	}
	next := release("etc/hosts=next", "etc/shadow=secret", "etc/copied=changed", "etc/folder/", "etc/folder/x=2",
		"etc/ssh/", "etc/motd=hello", "etc/new=theirs", "etc/apt/", "etc/apt/sources=1", "etc/apt/more=1", "etc/localtime/", "etc/passwd=changed too")
	var got []string
	for _, c := range Conflicts(changes, now, next) {
		got = append(got, fmt.Sprintf("%s here %s, release %s", c.Path, c.Here, c.Release))
	}
	want := []string{
		"etc/apt/more here replaced, release added", "etc/copied here same, release modified", "etc/folder/x here replaced, release modified",
		"etc/hosts here modified, release modified", "etc/localtime here modified, release replaced", "etc/new here added, release added",
		"etc/ssh/sshd_config here modified, release deleted",
	}
	if !slices.Equal(got, want) {
		t.Errorf("conflicts\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	check(t, RequestReset(l.dir, []string{"etc/hosts", "etc/ssh"}))
	changes, err = Diff(l.dir, now)
	check(t, err)
	if got := len(Conflicts(changes, now, next)); got != len(want)-2 {
		t.Errorf("%d conflicts are left when two are taken back: want %d", got, len(want)-2)
	}
}

func TestOnlyPathsBelowEtcAreTakenBack(t *testing.T) {
	l := newLayer(t)
	for _, path := range []string{"", "etc", "etc/", "etc/..", "etc/../usr", "/etc/hosts", "etc//hosts", "etc/a\x00b", "usr/lib"} {
		if err := RequestReset(l.dir, []string{path}); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
	if err := RequestReset(l.dir, []string{"etc/" + strings.Repeat("a", ResetMost)}); err == nil {
		t.Error("a list without end was taken")
	}
	if _, err := os.Stat(filepath.Join(l.dir, "reset")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused list was left: %v", err)
	}
}

func TestWhatIsRemovedMeanwhileIsNoFault(t *testing.T) {
	l, now := sample(t)
	d := differ{root: filepath.Join(l.dir, "upper"), release: now}
	for _, name := range []string{"new", "ssh"} {
		entries, err := os.ReadDir(d.root)
		check(t, err)
		path := filepath.Join(d.root, name)
		check(t, os.RemoveAll(path))
		for _, entry := range entries {
			if entry.Name() == name {
				check(t, d.visit(path, entry, nil))
				check(t, d.visit(path, entry, &fs.PathError{Op: "open", Path: path, Err: unix.ENOENT}))
			}
		}
	}
	if len(d.changes) > 0 {
		t.Errorf("changes %v", listed(d.changes))
	}
}

// TestConflictsDoNotGoThroughTheReleaseForEachChange: with as many changes as
// here that would be a thousand million comparisons.
func TestConflictsDoNotGoThroughTheReleaseForEachChange(t *testing.T) {
	const many = 30000
	var now, next manifests.State
	var changes []Change
	for i := range many {
		path := fmt.Sprintf("etc/f%05d", i)
		changes = append(changes, Change{Path: path, Kind: Modified, whole: true})
		now.Etc = append(now.Etc, manifests.EtcEntry{Path: path, Mode: "0644"})
		next.Etc = append(next.Etc, manifests.EtcEntry{Path: path, Mode: "0644"}, manifests.EtcEntry{Path: path + "/x", Mode: "0644"})
	}
	if conflicts := Conflicts(changes, now, next); len(conflicts) != many || conflicts[1].Path != "etc/f00001/x" {
		t.Errorf("%d conflicts", len(conflicts))
	}
}
