package sysusers_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/accounts"
	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/configure/sysusers"
	"github.com/proa-os/proa/builder/tree"
)

const day = 20454 // 1 January 2026

func run(t testing.TB, into *tree.Tree) sysusers.Result {
	t.Helper()
	a, err := accounts.Load(into)
	if err != nil {
		t.Fatal(err)
	}
	result, err := sysusers.Make(into, a, dropin.Files(into, dropin.Folders("sysusers.d"), ".conf"), day)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Store(into, "test"); err != nil {
		t.Fatal(err)
	}
	return result
}

var cases = map[string]map[string]string{
	"ids and their owners": {
		"usr/lib/sysusers.d/a.conf": `
u root 0 "Super User" /root
g shadow 42
u alpha - "Alpha User" /var/lib/alpha /bin/sh
u beta 321
u gamma 322:42 "Gamma"
u delta -:shadow
g eta 400
g theta -
u iota 65534
u kappa /usr/lib/owned "By path"
u lambda 7
u mu 321 "an id that is taken"
`,
		"usr/lib/owned": "x",
	},
	"stronger files hide weaker ones": {
		"etc/sysusers.d/b.conf":         "u from-etc -\n",
		"usr/lib/sysusers.d/b.conf":     "u from-usr -\n",
		"usr/lib/sysusers.d/c.conf":     "u hidden -\n",
		"etc/sysusers.d/c.conf":         "-> /dev/null",
		"usr/lib/sysusers.d/a.conf":     "u first - first\n",
		"usr/lib/sysusers.d/d.conf":     "u first - second\n",
		"usr/lib/sysusers.d/README":     "u readme -\n",
		"usr/lib/sysusers.d/empty.conf": "",
		"dev/null":                      "",
	},
	"memberships": {
		"usr/lib/sysusers.d/m.conf": "m zoe video\nm amy video\nu amy 500\ng video 44\nm amy late\n",
		"etc/passwd":                "root:x:0:0:root:/root:/bin/bash\nold:x:999:999::/:/bin/sh\n",
		"etc/group":                 "root:x:0:\nold:x:999:\nvideo:x:44:xavier\n",
		"etc/gshadow":               "root:*::\nvideo:*::xavier\n",
		"etc/shadow":                "root:*:1::::::\n",
	},
	"ranges": {
		"usr/lib/sysusers.d/r.conf": "r - 300-302\nr - 310\nu a -\nu b -\nu c -\nu d -\nu e -\n",
	},
	"existing accounts win": {
		"etc/passwd":                "web:x:33:34:Web:/srv:/bin/false\n",
		"etc/group":                 "web:x:34:\n",
		"usr/lib/sysusers.d/w.conf": "u web 80 - - -\nu other 33\ng same 34\nu half -\n",
	},
	"quotes and specifiers": {
		"etc/os-release":            "ID=linux-x\nVERSION_ID=\"7\"\n",
		"usr/lib/sysusers.d/q.conf": "u q - 'A \"quoted\" one' /var/lib/%o\nu p - \"100%% %w\" \"/srv/%w\"\nu \"bad name\" -\nnonsense\nu x 99999999999\n",
	},
}

func TestTheSameAccountsAsSystemdSysusers(t *testing.T) {
	t.Parallel()
	for name, files := range cases {
		t.Run(name, func(t *testing.T) {
			files["etc"] = "/"
			ours := configuretest.Tree(t, files)
			if n, ok := ours.Lookup("usr/lib/owned"); ok {
				n.UID, n.GID = 345, 346
				if os.Geteuid() != 0 {
					n.UID, n.GID = uint32(os.Geteuid()), uint32(os.Getegid())
				}
			}
			dir := configuretest.Folder(t, ours)
			run(t, ours)
			cmd := exec.Command("systemd-sysusers", "--root="+dir)
			cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1767225600")
			out, err := cmd.CombinedOutput()
			if err != nil && !strings.Contains(string(out), ".conf:") {
				t.Fatalf("%v: %s", err, out)
			}
			theirs := configuretest.Read(t, dir)
			for _, path := range []string{"etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"} {
				got, _ := ours.ReadFile(path, 1<<20)
				want, _ := theirs.ReadFile(path, 1<<20)
				if string(got) != string(want) {
					t.Errorf("%s:\n%swant\n%s%s", path, got, want, out)
				}
			}
		})
	}
}

func TestASecondRunChangesNothing(t *testing.T) {
	t.Parallel()
	for name, files := range cases {
		into := configuretest.Tree(t, files)
		first := run(t, into)
		if again := run(t, into); len(again.Users)+len(again.Groups) > 0 || !slices.Equal(again.Faults, first.Faults) {
			t.Errorf("%s: made %v, the first time %v", name, again, first)
		}
	}
}

func FuzzSysusers(f *testing.F) {
	for _, files := range cases {
		for _, text := range files {
			f.Add(text, "root:x:0:0::/:/bin/sh\n")
		}
	}
	f.Fuzz(func(t *testing.T, text, passwd string) {
		into := configuretest.Tree(t, map[string]string{"usr/lib/sysusers.d/f.conf": "#" + text, "etc/passwd": passwd, "etc/sysusers.d/g.conf": "#\n" + text})
		run(t, into)
		if again := run(t, into); len(again.Users)+len(again.Groups) > 0 {
			t.Errorf("made again: %v", again)
		}
	})
}

// With 20,000 lines and a range of 60,000 ids each of these would take hours,
// if for each id all lines were looked at.
func TestManyUsersAreMadeOrRefused(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]struct {
		count int
		want  string // of the error
	}{"as many as there may be": {9990, ""}, "more": {10_010, "want at most 10000"}, "far more": {20_010, "more than 20000 lines"}} {
		var text strings.Builder
		text.WriteString("r - 1-60000\n")
		for i := range lines.count {
			fmt.Fprintf(&text, "u many-%d -\n", i)
		}
		into := configuretest.Tree(t, map[string]string{"usr/lib/sysusers.d/a.conf": text.String()})
		a, err := accounts.Load(into)
		if err != nil {
			t.Fatal(err)
		}
		result, err := sysusers.Make(into, a, []string{"usr/lib/sysusers.d/a.conf"}, day)
		if lines.want == "" && (err != nil || len(result.Users) == 0) || lines.want != "" && (err == nil || !strings.Contains(err.Error(), lines.want)) {
			t.Errorf("%s: %d users, %d faults, %v", name, len(result.Users), len(result.Faults), err)
		}
	}
}
