package scripts_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/scripts"
)

// recorder is a world where nothing is known, but which echo was come to.
type recorder struct{ lines []string }

func (r *recorder) Run(c scripts.Command) scripts.Status {
	line := ""
	for i, w := range c.Words {
		if i == 0 && w.Text == "echo" {
			continue
		}
		if !w.Known {
			line += "?"
		}
		line += "[" + w.Text + "]"
	}
	if !c.Certain {
		line += " maybe"
	}
	r.lines = append(r.lines, line)
	if c.Words != nil && c.Words[0].Text == "unknown" {
		return scripts.Unknown
	}
	return scripts.Success
}

func (r *recorder) Test(op, path string) scripts.Status { return scripts.Unknown }
func (r *recorder) Which(name string) string            { return "" }

func follow(t testing.TB, text string) []string {
	t.Helper()
	s, err := scripts.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var r recorder
	if err := s.Follow(t.Context(), &r, []string{"configure", ""}, map[string]string{"KNOWN": "k v"}); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r.lines
}

// Scripts whose words a shell and we must agree about.
var agreed = []string{
	`echo a "b c" 'd $x' e\ f "g\"h" 'i'"j"k`,
	`x="a  b"; echo $x "$x" "${x}c" ${x}`,
	`none=; echo "${KNOWN:-d}" "${none:-d e}" "${KNOWN:+yes}" "${none:+no}"`,
	`x=usr/lib/a.tar.gz; echo ${x#*/} ${x##*/} ${x%.*} ${x%%.*} "${x#u?r}"`,
	`f() { echo "$#" "$1" "$@"; }; f a "b c"; f`,
	`set -e; for i in 1 2 3; do if [ $i = 2 ]; then continue; fi; echo $i; done`,
	"cat <<EOF; echo after\ntext $KNOWN\nEOF\necho next",
	`case "a/b" in a?b) echo q;; [!x]*) echo range;; esac; case x in (y|x) echo two;; esac`,
	`if false; then echo a; elif true; then echo b; else echo c; fi`,
	`false || echo or; true && echo and; ! false && echo not`,
	`x=; ( x=in; echo $x ); echo "${x:-out}"`,
	`echo $(basename /a/b.c .c) $(dirname /a/b) "$(echo x y)"`,
	"echo a \\\n  b # comment\necho c#d",
	`f() { return 1; }; f || echo failed`,
	`echo "a
b" c`,
	`while false; do :; done; echo done`,
	`{ echo group; }; echo '#' "#"`,
	`[ "$1" = configure ] && [ -z "$2" ] && [ ! "$1" = x -a 1 -lt 2 ] && echo first`,
	`echo; exit 0; echo never`,
}

func TestWordsAreThoseOfAShell(t *testing.T) {
	t.Parallel()
	for _, text := range agreed {
		// The shell shows its words as the recorder does.
		program := "KNOWN='k v'\ncat() { :; }\nsay() { for w; do printf '[%s]' \"$w\"; done; printf '\\n'; }\n" + strings.ReplaceAll(text, "echo", "say")
		program = strings.ReplaceAll(program, "$(say x y)", "$(echo x y)")
		out, err := exec.Command("/bin/sh", "-c", program, "sh", "configure", "").Output()
		if _, exited := err.(*exec.ExitError); err != nil && !exited {
			t.Fatal(err)
		}
		want := string(out)
		got := ""
		for _, line := range follow(t, text) {
			if !strings.HasPrefix(line, "[cat]") {
				got += strings.ReplaceAll(line, " maybe", "") + "\n"
			}
		}
		if got != want {
			t.Errorf("%s\ngot  %q\nwant %q", text, got, want)
		}
	}
}

func TestDoubtIsPassedOn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`unknown && echo a; echo b`:                                    {"[unknown]", "[a] maybe", "[b]"},
		`if unknown; then echo a; else echo b; fi; echo c`:             {"[unknown]", "[a] maybe", "[b] maybe", "[c]"},
		`unknown && x=1; echo $x`:                                      {"[unknown]", "?[$x]"},
		`x=$(unknown); echo "$x"`:                                      {"?[$x]"},
		`unknown && exit 0; echo a`:                                    {"[unknown]", "[a] maybe"},
		`unknown || exit 1; echo a`:                                    {"[unknown]", "[a]"},
		`f() { unknown && return; echo in; }; f; echo out`:             {"[unknown]", "[in] maybe", "[out]"},
		`case $unset in a) echo a;; *) echo b;; esac`:                  {"[a] maybe", "[b] maybe"},
		`for f in /etc/*; do echo "$f"; done`:                          {"?[$f] maybe"},
		`echo "${00}"`:                                                 {"?[$00]"},
		`echo a | echo b`:                                              {"[a] maybe", "[b] maybe"},
		`while unknown; do echo a; done`:                               {"[unknown] maybe", "[a] maybe"},
		`echo $((1+1)) ~ *.x`:                                          {"?[$(( ))]?[~]?[*.x]"},
		"# Automatically added by dh_x/1\necho a\n# End automatically": {"[a]"},
	} {
		if got := follow(t, text); !slices.Equal(got, want) {
			t.Errorf("%s: %q: want %q", text, got, want)
		}
	}
}

func TestBadSyntaxIsNamedByItsLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"echo\nif true": "line 2", "case x in": "line 1", "echo 'a": "not closed", "echo \"a": "not closed", "f( x": "want )",
		"echo `a": "backquote", "cat <<EOF\nx": "no end", "(a": "parenthesis", "fi": `unexpected "fi"`, "echo )": "unexpected",
		strings.Repeat("(", 100): "inside each other", strings.Repeat("$(", 3000): "not closed", "echo ${a": "not closed", "[[ a ]]": "unexpected",
		strings.Repeat("x", 2<<20): "at most",
	} {
		if _, err := scripts.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v: want %q", text, err, want)
		}
	}
}

func FuzzFollow(f *testing.F) {
	for _, text := range agreed {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := scripts.Parse(text)
		if err != nil {
			return
		}
		var all [2]string
		for i := range all {
			var r recorder
			err := s.Follow(t.Context(), &r, []string{"1", text}, map[string]string{"X": text})
			all[i] = fmt.Sprint(err, r.lines)
		}
		if all[0] != all[1] {
			t.Errorf("twice the same: %q, %q", all[0], all[1])
		}
	})
}
