package configure

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

// scriptCases change files below $R, which is empty when a tree is changed and
// a folder when a shell runs them.
var scriptCases = map[string]string{
	"folders and files": `
set -e
mkdir -p "$R/var/lib/a/b" $R/srv/x
mkdir -m 0700 $R/var/lib/secret
install -d -m 2755 $R/var/lib/installed $R/var/lib/more
touch $R/var/lib/a/empty
echo one two   three > $R/etc/echo
echo 'four  five' >> "$R/etc/echo"
cat > $R/etc/here <<EOF
name: $NAME \$literal
EOF
cat <<-'EOF' >$R/etc/quoted
	no $NAME here
	EOF
: > $R/etc/truncated
umask 077
touch $R/etc/private
rm -f $R/etc/old $R/etc/absent
rm -rf $R/var/lib/old
rmdir $R/var/lib/hollow
`,
	"links, copies and modes": `
cp $R/usr/share/template $R/etc/copied
cp -p $R/usr/share/template $R/etc/preserved
cp $R/usr/share/template $R/srv
mv $R/etc/old $R/etc/moved
ln -s ../usr/share/template $R/etc/link
ln -sf else $R/etc/link
ln -sfn other $R/srv-link
ln -s inside $R/srv
chmod 0751 $R/etc/copied
chmod u+s,go-rx $R/etc/preserved
chmod -R a+X,g=rX $R/var/lib/old
install -m 640 $R/usr/share/template $R/etc/installed
`,
	"conditions": `
if [ ! -e $R/etc/absent ] && [ -d "$R/etc" ]; then touch $R/etc/yes1; else touch $R/etc/no1; fi
[ -f $R/etc/old -a ! -L $R/etc/old ] && touch $R/etc/yes2
[ -z "$2" ] || touch $R/etc/no2
test "$1" = configure -o 1 -gt 2 && touch $R/etc/yes3
case "$1" in upgrade|abort-*) touch $R/etc/no3;; conf*) touch $R/etc/yes4;; *) touch $R/etc/no4;; esac
if false; then :; elif [ 3 -ge 3 ]; then touch $R/etc/yes5; fi
! [ -x $R/usr/share/template ] && touch $R/etc/yes6
for f in a b "c d"; do touch "$R/etc/for-$f"; [ "$f" = b ] && break; done
make() { local name="$1"; shift; touch "$R/etc/$name-$#"; [ $# -gt 1 ] || return 0; touch $R/etc/many; }
make one x
make two x y
make three "$@"
X=a.tar.gz; touch $R/etc/${X%.gz} $R/etc/${X%%.*} $R/etc/pre-${X#a.} ; touch "$R/etc/d-${UNSET_IS_EMPTY:-default}" $R/etc/p-${X:+set}
( Y=sub; touch $R/etc/$Y )
NAME="two words"; touch "$R/etc/$NAME"; for x in $NAME; do touch $R/etc/split-$x; done
echo a\
b > $R/etc/joined
exit 0
touch $R/etc/no5
`,
}

func scriptTree(t testing.TB) *tree.Tree {
	return configuretest.Tree(t, map[string]string{
		"etc/old": "old", "lib": "-> usr/lib", "usr/lib/alias": "alias", "etc/truncated": "long", "usr/share/template": "template", "var/lib/old/deep/file": "x", "var/lib/hollow": "/", "srv": "/", "srv-link": "-> srv",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n",
	})
}

func TestScriptsChangeATreeAsTheyWouldAFolder(t *testing.T) {
	for name, text := range scriptCases {
		t.Run(name, func(t *testing.T) {
			ours := scriptTree(t)
			dir := configuretest.Folder(t, ours)
			about := packages.About{Format: packages.Deb, Name: "p", Scripts: []packages.Script{{When: "postinst", Interpreter: "/bin/sh", Text: "R= NAME=a.name UNSET_IS_EMPTY=\n" + text}}}
			w, err := newWorld(ours, Config{Packages: []packages.About{about}, Source: "test"})
			if err != nil {
				t.Fatal(err)
			}
			w.follow(t.Context(), about)
			for _, l := range w.current.NotDone {
				t.Errorf("not done: %v", l)
			}
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script, []byte("R="+dir+" NAME=a.name UNSET_IS_EMPTY=\n"+text), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("/bin/sh", "-c", "umask 022; . "+script, "sh", "configure", "").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			compareTrees(t, ours, configuretest.Read(t, dir))
		})
	}
}

func compareTrees(t *testing.T, ours, theirs *tree.Tree) {
	t.Helper()
	got, err := treetest.List(ours)
	if err != nil {
		t.Fatal(err)
	}
	want, err := treetest.List(theirs)
	if err != nil {
		t.Fatal(err)
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
}

func TestWhatIsNotKnownIsNotDone(t *testing.T) {
	for script, want := range map[string]string{
		`if [ "$(cat /proc/x)" = 1 ]; then touch /etc/maybe; fi`:             "depends on what is not known",
		`. /usr/share/debconf/confmodule; db_get x; touch "/etc/maybe-$RET"`: "its words are not known",
		`touch /etc/maybe*`: "its words are not known",
		`frobnicate --all`:  "frobnicate",
		`touch relative`:    "is not an absolute path",
		`[ -e /proc/1 ] && exit 0` + "\ntouch /etc/maybe":             "depends on what is not known",
		`f() { [ -e /proc/1 ] && return; touch /etc/maybe; }` + "\nf": "depends on what is not known",
		`while read x; do touch /etc/maybe; done < /etc/old`:          "depends on what is not known",
		`echo x | tee /etc/maybe`:                                     "tee",
		`X=a; [ -e /proc/1 ] && X=b` + "\ntouch /etc/maybe-$X":        "its words are not known",
		`sed -i s/a/b/ /etc/old`:                                      "sed -i",
		`for i in $(ls /proc); do touch /etc/maybe; done`:             "depends on what is not known",
		`{ echo a; echo b; } > /etc/maybe`:                            "echo a",
		`if`:                                                          "line 1",
		`eval "touch /etc/maybe"`:                                     "eval",
		`f() { f; }; f`:                                               "goes on for too long",
		`chown nobody-there /etc/old`:                                 "nobody-there",
		`mv /lib/alias /usr/lib/alias`:                                "are the same file",
		`mv /usr/lib/alias /lib`:                                      "are the same file",
		`rm -rf /etc`:                                                 "does not remove",
	} {
		ours := scriptTree(t)
		about := packages.About{Format: packages.Deb, Name: "p", Version: "1", Scripts: []packages.Script{{When: "postinst", Interpreter: "/bin/sh", Text: script}}}
		report, err := Run(t.Context(), ours, Config{Packages: []packages.About{about}, Source: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if text := report.String(); !strings.Contains(text, want) || !strings.Contains(text, "p 1: not done:") {
			t.Errorf("%s: report %q: want %q in it", script, text, want)
		}
		compareTrees(t, ours, scriptTree(t))
	}
}

func FuzzScripts(f *testing.F) {
	for _, text := range scriptCases {
		f.Add(text)
	}
	for _, text := range rpmScripts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var lists [2][]string
		for i := range lists {
			ours := scriptTree(t)
			about := packages.About{Format: packages.Deb, Name: "p", Scripts: []packages.Script{{When: "postinst", Interpreter: "/bin/sh", Text: text}}}
			c := Config{Packages: []packages.About{about}, Source: "test"}
			if _, err := Users(t.Context(), ours, c); err != nil {
				return // two of one name, in what was there
			}
			report, err := Run(t.Context(), ours, c)
			if err != nil {
				return
			}
			if lists[i], err = treetest.List(ours); err != nil {
				t.Fatal(err)
			}
			lists[i] = append(lists[i], report.String())
		}
		if !slices.Equal(lists[0], lists[1]) {
			t.Errorf("twice the same script: %q, %q", lists[0], lists[1])
		}
	})
}

func TestFilesOfUcfAreThePackages(t *testing.T) {
	ours := scriptTree(t)
	text := "ucf --three-way --debconf-ok --sum-file /usr/share/sums /usr/share/template /etc/new.conf\nucf /usr/share/template /etc/old\n"
	about := packages.About{Format: packages.Deb, Name: "p", Scripts: []packages.Script{{When: "postinst", Interpreter: "/bin/sh", Text: text}}}
	report, err := Run(t.Context(), ours, Config{Packages: []packages.About{about}, Source: "test"})
	if err != nil || len(report.Uncovered()) > 0 {
		t.Fatalf("%s, %v", report, err)
	}
	for path, want := range map[string]string{"etc/new.conf": "template", "etc/old": "old"} {
		if got, err := ours.ReadFile(path, 1<<20); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v: want %q", path, got, err, want)
		}
	}
}
