package seed

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// write makes a file or, for a content "-> TARGET", a link.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if target, ok := strings.CutPrefix(content, "-> "); ok {
		err = os.Symlink(target, path)
	} else {
		err = os.WriteFile(path, []byte(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func image(t *testing.T) string {
	t.Helper()
	source := t.TempDir()
	for path, content := range map[string]string{
		"lib/app/data": "data", "lib/app/key": "secret", "lib/dpkg/status": "status",
		"run": "-> /run", "lib/broken": "-> nowhere", "log/old": "", "lock": "-> run/lock",
	} {
		write(t, filepath.Join(source, path), content)
	}
	if err := unix.Chmod(filepath.Join(source, "lib/app/key"), 0o4600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(source, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chmod(filepath.Join(source, "tmp"), 0o1777); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Lchown(filepath.Join(source, "lib/app/data"), 33, 44); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(filepath.Join(source, "run"), 5, 6); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(filepath.Join(source, "lib/app/data"), "user.note", []byte("n\x00te"), 0); err != nil {
		t.Logf("no attributes here: %v", err)
	}
	if err := unix.Mkfifo(filepath.Join(source, "lib/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	for _, path := range []string{"lib/app/data", "lib/app", ""} {
		if err := os.Chtimes(filepath.Join(source, path), old, old); err != nil {
			t.Fatal(err)
		}
	}
	return source
}

// describe lists a folder's contents with all that should be copied.
func describe(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.Type()&fs.ModeNamedPipe != 0 || name == Marker || name == filepath.Dir(Marker) {
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		content, _ := os.Readlink(path)
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			note := make([]byte, 100)
			n, _ := unix.Lgetxattr(path, "user.note", note)
			content = fmt.Sprintf("%q %q", text, note[:max(n, 0)])
		}
		// Marker and staging touch the times of these two.
		when := st.Mtim.Nano()
		if name == "." || name == "lib" {
			when = 0
		}
		fmt.Fprintf(&b, "%s %o %d:%d %d %s\n", name, st.Mode, st.Uid, st.Gid, when, content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCopyIsLikeTheImage(t *testing.T) {
	source, target := image(t), t.TempDir()
	if Done(target) {
		t.Fatal("an empty folder counts as seeded")
	}
	if err := Run(target, source, func() {}); err != nil {
		t.Fatal(err)
	}
	if got, want := describe(t, target), describe(t, source); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !Done(target) {
		t.Error("the marker is missing")
	}
}

func TestFilesThatAreThereAreKept(t *testing.T) {
	source, target := image(t), t.TempDir()
	elsewhere := t.TempDir()
	write(t, filepath.Join(target, "lib/app/data"), "mine")
	write(t, filepath.Join(target, "log"), "a file where the image has a folder")
	write(t, filepath.Join(target, "lib/dpkg"), "-> "+elsewhere)
	if err := Run(target, source, func() {}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"lib/app/data": "mine", "lib/app/key": "secret", "log": "a file where the image has a folder"} {
		if got, err := os.ReadFile(filepath.Join(target, path)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
		}
	}
	if left, _ := os.ReadDir(elsewhere); len(left) != 0 {
		t.Errorf("a link was followed out of the target: %v", left)
	}
}

// Whatever an interrupted run left, running again gives the whole copy, and
// no file has ever had its name without its contents.
func TestInterruptedCopyIsMadeWhole(t *testing.T) {
	source := image(t)
	want := describe(t, source)
	for name, interrupt := range map[string]func(target string){
		"while copying": func(target string) {
			write(t, filepath.Join(target, staging, "lib/app/data"), "da")
			write(t, filepath.Join(target, staging, "lib/app/other"), "x")
		},
		"while moving": func(target string) {
			if err := copyTree(filepath.Join(target, staging), source, func() {}); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(target, staging, "lib"), filepath.Join(target, "lib")); err != nil {
				t.Fatal(err)
			}
		},
		"before the marker": func(target string) {
			if err := Run(target, source, func() {}); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(target, Marker)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		target := t.TempDir()
		interrupt(target)
		if Done(target) {
			t.Errorf("%s: counts as seeded", name)
		}
		if err := Run(target, source, func() {}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := describe(t, target); got != want || !Done(target) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestFailedCopyLeavesNoMarkerAndNoRest(t *testing.T) {
	target := t.TempDir()
	if err := Run(target, filepath.Join(t.TempDir(), "missing"), func() {}); err == nil {
		t.Error("a missing source was copied")
	}
	if left, _ := os.ReadDir(target); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestALongCopyTellsThatItGetsAhead(t *testing.T) {
	source, target, calls := t.TempDir(), t.TempDir(), 0
	write(t, filepath.Join(source, "long"), "")
	if err := os.Truncate(filepath.Join(source, "long"), 2*piece+1); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(source, "short"), "x")
	if err := Run(target, source, func() { calls++ }); err != nil {
		t.Fatal(err)
	}
	const pieces = 3 + 1
	if calls < pieces {
		t.Errorf("it told %d times: want once for each of %d pieces", calls, pieces)
	}
	if info, err := os.Stat(filepath.Join(target, "long")); err != nil || info.Size() != 2*piece+1 {
		t.Errorf("the copy: %v, %v", info, err)
	}
}
