package hostconfig

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain gives the tests a root user, who may give files away: an ordinary
// user is root in a namespace of its own.
func TestMain(m *testing.M) {
	if os.Geteuid() == 0 {
		os.Exit(m.Run())
	}
	cmd := exec.Command("unshare", append([]string{"--user", "--map-root-user", "--map-auto", "--", os.Args[0]}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "as root of a namespace:", err)
		os.Exit(1)
	}
}

// today is the clock of the tests.
var today = time.Now()

// image are the files of a small image, by path; folders end in a slash, and a
// link is written "-> TARGET".
var image = map[string]string{
	"bin/sh": "", "bin/bash": "", "usr/sbin/nologin": "",
	"home":                "-> var/home",
	"var/home/old/":       "",
	"dev/null":            "",
	"var/lib/":            "",
	"usr/bin/tool":        "#!/bin/sh\n",
	"etc/hosts":           "127.0.0.1 localhost\n",
	"etc/motd":            "-> /run/motd",
	"etc/hostname":        "image\n",
	"etc/timezone":        "Etc/UTC\n",
	"etc/skel/.profile":   "umask 022\n",
	"etc/default/useradd": "SHELL=/bin/bash\n",
	"etc/login.defs": "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUMASK 022\nUSERGROUPS_ENAB yes\n" +
		"PASS_MAX_DAYS 99999\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 7\nENCRYPT_METHOD YESCRYPT\n",
	"etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nmessagebus:x:999:999::/:/usr/sbin/nologin\n" +
		"old:x:1005:1005:Old:/home/old:/bin/sh\n",
	"etc/group":                           "root:x:0:\ndaemon:x:1:\nsudo:x:27:\nshadow:x:42:\nusers:x:100:\nmessagebus:x:999:\nold:x:1005:\naudio:x:29:old\n",
	"etc/shadow":                          "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nmessagebus:!:19000::::::\nold:*:19000:0:99999:7:::\n",
	"etc/gshadow":                         "root:*::\ndaemon:*::\nsudo:*::\nshadow:*::\nusers:*::\nmessagebus:!::\nold:!::\naudio:*::old\n",
	"etc/subuid":                          "old:100000:65536\n",
	"etc/subgid":                          "old:100000:65536\n",
	"usr/share/zoneinfo/Europe/Berlin":    "TZif",
	"usr/lib/systemd/system/ssh.service":  "[Service]\nExecStart=/bin/sh\n[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n",
	"usr/lib/systemd/system/pair.service": "[Service]\nExecStart=/bin/sh\n[Install]\nRequiredBy=network.target\nAlso=pair.socket\n",
	"usr/lib/systemd/system/pair.socket":  "[Socket]\nListenStream=/run/pair\n[Install]\nWantedBy=sockets.target\n",
	"usr/lib/systemd/system/get@.service": "[Service]\nExecStart=/bin/sh\n[Install]\nWantedBy=multi-user.target\nDefaultInstance=one\n",
	"usr/lib/systemd/system/bare.service": "[Service]\nExecStart=/bin/sh\n",

	"usr/lib/systemd/system/multi-user.target": "[Unit]\nDescription=m\n",
}

// newRoot makes the image in a folder, with more files.
func newRoot(t testing.TB, more map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, files := range []map[string]string{image, more} {
		for name, content := range files {
			place(t, filepath.Join(dir, name), content, strings.HasSuffix(name, "/"))
		}
	}
	must(t, os.Chown(filepath.Join(dir, "var/home/old"), 1005, 1005))
	for _, name := range []string{"etc/shadow", "etc/gshadow"} {
		path := filepath.Join(dir, name)
		must(t, os.Chown(path, 0, 42))
		must(t, os.Chmod(path, 0o640))
	}
	return dir
}

func place(t testing.TB, path, content string, folder bool) {
	t.Helper()
	if folder {
		must(t, os.MkdirAll(path, 0o755))
		return
	}
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	if target, link := strings.CutPrefix(content, "-> "); link {
		must(t, os.Symlink(target, path))
		return
	}
	must(t, os.WriteFile(path, []byte(content), 0o755&^0o111))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}

// configure parses a configuration and carries it out in a root.
func configure(t testing.TB, dir, config string) error {
	t.Helper()
	root := open(t, dir)
	p, err := Parse("config", []byte(config))
	if err != nil {
		return err
	}
	before, err := ReadRecord(root)
	must(t, err)
	work, err := Prepare(root, "config", p, before, today)
	if err != nil {
		return err
	}
	return work.Do(root)
}

// listing describes everything in a root but for what is proa's own: path, kind,
// mode, owner, and content or target.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "." || name == "var/lib/proa" || strings.HasPrefix(name, "var/lib/proa/") {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%s %d:%d ", info.Mode(), st.Uid, st.Gid)
		switch info.Mode().Type() {
		case 0:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf("%d %q", st.Nlink, content)
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += target
		}
		lines[name] = text
		return nil
	}))
	return lines
}

// same compares two listings but for names to pass over.
func same(t testing.TB, ours, theirs map[string]string, passOver ...string) {
	t.Helper()
	skip := map[string]bool{}
	for _, name := range passOver {
		skip[name] = true
	}
	for name, want := range theirs {
		if got := ours[name]; got != want && !skip[name] {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	for name, got := range ours {
		if _, ok := theirs[name]; !ok && !skip[name] {
			t.Errorf("%s: not there elsewhere: %s", name, got)
		}
	}
}

// run runs a program that must succeed, and returns what it printed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
