package tmpfiles_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/configure/tmpfiles"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

func apply(t testing.TB, into *tree.Tree) tmpfiles.Result {
	t.Helper()
	result, err := tmpfiles.Apply(into, dropin.Files(into, dropin.Folders("tmpfiles.d"), ".conf"), "test")
	if err != nil {
		t.Fatal(err)
	}
	return result
}

var accounts = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:Web:/srv:/bin/false\n",
	"etc/group":  "root:x:0:\nadm:x:4:\nweb:x:34:\n",
}

var cases = map[string]map[string]string{
	"folders": {
		"usr/lib/tmpfiles.d/a.conf": `
d /var/lib/a/b/c 0750 web adm -
d /var/lib/a 0711
D /var/cache/d - - -
q /var/q 1777 - - -
Q /var/lib/Q
v /var/v 0700 web -
d /var/kept 0700 - -
d /var/once :0700 :web :web
e /var/spool/there 0701 web adm
e /var/spool/not 0701 web adm
d /var/dup 0700
d /var/dup 0711
d "/var/with space" 0755
`,
		"var/kept": "/", "var/once": "/", "var/spool/there": "/",
	},
	"files and links": {
		"usr/lib/tmpfiles.d/a.conf": `
f /var/log/new 0664 root web -
f /var/log/text - - - - hello\nworld "quoted" \x41
f /var/log/old 0600
f+ /var/log/truncated - - - - again
L /var/link - - - - ../usr/share/x
L /var/there - - - - /nowhere
L+ /var/replaced - - - - /else
L /var/factory
p /var/pipe 0600
C /var/copied - - - - /usr/share/tocopy
C /var/log/old - - - - /usr/share/tocopy/one
C /var/nothing - - - - /usr/share/absent
f^ /var/credential - - - - some.credential
f! /var/boot - - - - x
`,
		"var/log/old": "old", "var/log/truncated": "much longer than that", "var/there": "file", "var/replaced": "-> /old",
		"usr/share/tocopy/one": "1", "usr/share/tocopy/two/three": "3",
	},
	"modes": {
		"usr/lib/tmpfiles.d/a.conf": `
z /var/log/*.log 0640 root adm
z /var/lib/one 2755 root adm
Z /var/lib/tree ~2750 web adm
z /var/lib/absent 0777
m /var/lib/m 0711
`,
		"var/log/a.log": "a", "var/log/b.log": "b", "var/log/c.txt": "c", "var/log/.hidden.log": "",
		"var/lib/one": "/", "var/lib/tree/x": "x", "var/lib/tree/d/y": "y", "var/lib/m": "/",
	},
	"stronger files hide weaker ones": {
		"etc/tmpfiles.d/b.conf":     "d /var/from-etc\n",
		"usr/lib/tmpfiles.d/b.conf": "d /var/from-usr\n",
		"usr/lib/tmpfiles.d/c.conf": "d /var/hidden\n",
		"etc/tmpfiles.d/c.conf":     "-> /dev/null",
		"usr/lib/tmpfiles.d/a.conf": "d /var/first 0700\nnonsense\nd relative\nd /var/bad 9999\nd /var/nobody 0755 nobody-there\n",
		"usr/lib/tmpfiles.d/d.conf": "d /var/first 0711\nd /var/%%percent\n",
	},
}

func TestTheSameFilesAsSystemdTmpfiles(t *testing.T) {
	t.Parallel()
	for name, files := range cases {
		t.Run(name, func(t *testing.T) {
			for path, text := range accounts {
				files[path] = text
			}
			if os.Geteuid() != 0 {
				giveToItself(files)
			}
			ours := configuretest.Tree(t, files)
			dir := configuretest.Folder(t, ours)
			apply(t, ours)
			out, err := exec.Command("systemd-tmpfiles", "--root="+dir, "--create", "--prefix=/var", "--prefix=/etc").CombinedOutput()
			if err != nil && !strings.Contains(string(out), ".conf:") {
				t.Fatalf("%v: %s", err, out)
			}
			got, err := treetest.List(ours)
			if err != nil {
				t.Fatal(err)
			}
			want, err := treetest.List(configuretest.Read(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			if os.Geteuid() != 0 {
				got, want = withoutOwners(got), withoutOwners(want)
			}
			for _, line := range got {
				if !slices.Contains(want, line) {
					t.Errorf("ours alone: %s", line)
				}
			}
			for _, line := range want {
				if !slices.Contains(got, line) {
					t.Errorf("theirs alone: %s", line)
				}
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}

// giveToItself makes all owners the one that may be given without being root.
func giveToItself(files map[string]string) {
	uid, gid := os.Geteuid(), os.Getegid()
	files["etc/passwd"] = fmt.Sprintf("web:x:%d:%d:Web:/srv:/bin/false\n", uid, gid)
	files["etc/group"] = fmt.Sprintf("adm:x:%d:\nweb:x:%d:\n", gid, gid)
	for path, text := range files {
		if strings.HasSuffix(path, ".conf") {
			files[path] = strings.ReplaceAll(text, " root ", " web ")
		}
	}
}

func withoutOwners(lines []string) []string {
	for i, line := range lines {
		if fields := strings.Fields(line); len(fields) > 3 && strings.Contains(fields[3], ":") {
			lines[i] = strings.Replace(line, " "+fields[3], "", 1)
		}
	}
	return lines
}

func TestFoldersOfTheRunningSystemAreLeftToIt(t *testing.T) {
	into := configuretest.Tree(t, map[string]string{
		"usr/lib/tmpfiles.d/a.conf": "d /run/x\nd /tmp/x\nd /dev/x\nL /var/run - - - - ../run\nd /srv/x\n",
	})
	result := apply(t, into)
	if want := []string{"/srv/x", "/var/run"}; !slices.Equal(result.Made, want) {
		t.Errorf("made %q: want %q", result.Made, want)
	}
}

func FuzzTmpfiles(f *testing.F) {
	for _, files := range cases {
		for _, text := range files {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		var lists [2][]string
		for i := range lists {
			into := configuretest.Tree(t, map[string]string{"usr/lib/tmpfiles.d/f.conf": "#\n" + text, "var/lib/x/y": "1", "usr/share/factory/a": "2", "etc/passwd": accounts["etc/passwd"]})
			apply(t, into)
			var err error
			if lists[i], err = treetest.List(into); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(lists[0], lists[1]) {
			t.Errorf("twice the same: %q, %q", lists[0], lists[1])
		}
	})
}

func TestLinesThatGoThroughTheWholeTreeAreCounted(t *testing.T) {
	t.Parallel()
	into := configuretest.Tree(t, map[string]string{"usr/lib/tmpfiles.d/a.conf": strings.Repeat("Z /var/* 0700\n", 300)})
	if result := apply(t, into); len(result.Faults) != 300-256 || !strings.Contains(result.Faults[0].Reason, "more than 256") {
		t.Errorf("%d faults: %v", len(result.Faults), result.Faults[:min(1, len(result.Faults))])
	}
	into = configuretest.Tree(t, map[string]string{"usr/lib/tmpfiles.d/a.conf": strings.Repeat("d /a\n", 20_001)})
	if _, err := tmpfiles.Apply(into, []string{"usr/lib/tmpfiles.d/a.conf"}, "test"); err == nil || !strings.Contains(err.Error(), "more than 20000 lines") {
		t.Errorf("error %v", err)
	}
}
