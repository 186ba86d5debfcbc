package control_test

import (
	"fmt"
	"io"
	"maps"
	"os/exec"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
)

func TestStanzasKeepTheirFields(t *testing.T) {
	const text = "\n\nPackage: a\nDescription: short\n long\n .\n\tmore  \nEmpty:\nDepends:\n b,\n c\n\n\n\nPACKAGE:b\nX: 1"
	r := control.NewReader(strings.NewReader(text), 1000)
	first, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"Package": "a", "Description": "short\n long\n .\n\tmore", "Depends": "\n b,\n c"}
	if got := maps.Collect(first.All()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q: want %q", got, want)
	}
	second, err := r.Next()
	if err != nil || second.Value("package") != "b" || second.Value("x") != "1" || second.Value("Depends") != "" {
		t.Errorf("%q, %v: want b and 1, and no Depends", maps.Collect(second.All()), err)
	}
	if s, err := r.Next(); err != io.EOF {
		t.Errorf("%v, %v: want the end", s, err)
	}
}

func TestStanzasThatAreNoneAreRefused(t *testing.T) {
	many := ""
	for i := range 300 {
		many += fmt.Sprintf("F%d: x\n", i)
	}
	for text, rule := range map[string]string{
		" continued":              "before its continuation",
		"A: 1\n \t\nB: 2":         "nothing but white space",
		"A: 1\nno colon\n":        "line 2: \"no colon\": want a field's name",
		"A: 1\n: x":               "want a field's name",
		"# comment: 1":            "want a field's name",
		"-A: 1":                   "want a field's name",
		"Pack age: 1":             "want a field's name",
		"A: 1\na: 2":              "field a: appears twice",
		"A: \x00":                 "NUL",
		"A: 1\n\nB: 2":            "a second stanza",
		"":                        "no fields",
		"\n\n":                    "no fields",
		strings.Repeat("a:", 999): "more than 999 bytes",
		many:                      "more than 999 bytes",
	} {
		if s, err := control.Single([]byte(text), 999); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%.40q: %v, error %v: want %q in it", text, s, err, rule)
		}
	}
	if _, err := control.Single([]byte(many), 1<<20); err == nil || !strings.Contains(err.Error(), "more than 256 fields") {
		t.Errorf("error %v: want one about 256 fields", err)
	}
}

func TestRelationsAreReadAsDebianMeansThem(t *testing.T) {
	for text, want := range map[string]string{
		"a":                                    "a",
		"a, b (>= 1.0), c(<<2)":                "a; b >= 1.0; c < 2",
		"a (= 1:2-3) | b:any | c:amd64 (<= 4)": "a = 1:2-3 or b or c <= 4",
		"a (< 1), b (> 2), c (>> 3)":           "a <= 1; b >= 2; c > 3",
		"a [amd64], b [i386], c [!i386], d [linux-any] , e [any-amd64 armhf], f [!amd64]": "a; c; d; e",
		"a <!nocheck>, b <nocheck>, c <nocheck> <!cross>, d [amd64] <!nocheck !nodoc>":    "a; c; d",
		"a [i386] | b":   "b",
		"a:i386":         "a:i386",
		"a:native\n , b": "a; b",
		"":               "",
	} {
		got, err := control.NewParser("amd64").Requirements([]byte(text))
		if err != nil || show(got) != want {
			t.Errorf("%q: %q, %v: want %q", text, show(got), err, want)
		}
	}
}

func show(all []packages.Requirement) string {
	var clauses []string
	for _, r := range all {
		var options []string
		for _, o := range r.Args {
			options = append(options, o.Relation.String())
		}
		if r.Joined == packages.Plain {
			options = append(options, r.Relation.String())
		}
		clauses = append(clauses, strings.Join(options, " or "))
	}
	return strings.Join(clauses, "; ")
}

func TestRelationsThatAreNoneAreRefused(t *testing.T) {
	for text, rule := range map[string]string{
		"a,":            "package name",
		"a||b":          "package name",
		"-a":            "package name",
		"a/b":           "package name",
		"../a":          "package name",
		"a:":            "architecture",
		"a:x/y":         "architecture",
		"a (1)":         "want one of",
		"a (=> 1)":      "want one of",
		"a (>= )":       "version",
		"a (>= 1":       "in that order",
		"a b":           "in that order",
		"a (= 1) x":     "in that order",
		"a <x> [amd64]": "in that order",
		"a []":          "want architectures",
		"a [amd64 !x]":  "all of them with !",
		"a (>= 1 2)":    "version",
		"a (>= ~1)":     "want a digit first",
	} {
		if got, err := control.NewParser("amd64").Requirements([]byte(text)); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%q: %v, error %v: want %q in it", text, got, err, rule)
		}
	}
	if _, err := control.NewParser("amd64").Relations([]byte("a | b")); err == nil {
		t.Error("alternatives are accepted where there can be none")
	}
}

func TestVersionsThatDpkgReadsAreRead(t *testing.T) {
	for _, v := range strings.Fields("0 1.0 1.0-1~ 1.0~rc1-1 1:0.1 1.0-1-2 1.a 1.+ 1:2:3 2.36-9+deb12u10") {
		if err := control.CheckVersion(v); err != nil {
			t.Error(err)
		}
		if out, err := exec.Command("dpkg", "--validate-version", v).CombinedOutput(); err != nil {
			t.Errorf("dpkg refuses %q: %s", v, out)
		}
	}
}

func TestVersionsThatAreNoneAreRefused(t *testing.T) {
	for _, v := range []string{"", "a", "-1", "1-", ":1", "1:", "x:1", "-1:1", "99999999999:1", "1_0", "1 0", "1/0", "1-a:b", "1:-1", "~1", strings.Repeat("1", 1025)} {
		if control.CheckVersion(v) == nil {
			t.Errorf("%.20q is accepted", v)
		}
		if len(v) > 1000 || v == "" {
			continue
		}
		if out, err := exec.Command("dpkg", "--validate-version", v).CombinedOutput(); err == nil {
			t.Errorf("dpkg accepts %q: %s", v, out)
		}
	}
}

func FuzzStanzas(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nDepends: a (>= 1) | b:any, c [amd64] <!nocheck>\nDescription: x\n y\n .\n\nPackage: b\n")
	f.Add("A:\n 1\n\n\n\n#: 1")
	f.Fuzz(func(t *testing.T, text string) {
		r := control.NewReader(strings.NewReader(text), 4096)
		parser := control.NewParser("amd64")
		for {
			s, err := r.Next()
			if err != nil {
				break
			}
			// What was read is the same when it is written and read again.
			var again strings.Builder
			fields := 0
			for name, value := range s.All() {
				fields++
				fmt.Fprintf(&again, "%s: %s\n", name, value)
			}
			if fields > 0 {
				twin, err := control.Single([]byte(again.String()), 8192)
				if err != nil {
					t.Fatalf("%q: %v", again.String(), err)
				}
				for name, value := range s.All() {
					if twin.Value(name) != value {
						t.Errorf("%s: %q, then %q", name, value, twin.Value(name))
					}
				}
			}
			if _, err := parser.Requirements(s.Bytes("Depends")); err != nil {
				continue
			}
		}
	})
}

func FuzzRelations(f *testing.F) {
	f.Add("a (>= 1) | b:any, c [amd64] <!nocheck>")
	f.Add("a:i386 (<< 2~) [!armhf !i386] <a b> <!c>")
	f.Fuzz(func(t *testing.T, text string) {
		wanted, err := control.NewParser("amd64").Requirements([]byte(text))
		if err != nil {
			return
		}
		for _, w := range wanted {
			for _, r := range append(w.Args, w) {
				name, _, _ := strings.Cut(r.Relation.Name, ":")
				if r.Joined == packages.Plain && control.CheckName(name) != nil {
					t.Errorf("%q has the name %q in it", text, r.Relation.Name)
				}
				if r.Relation.Op != packages.Any && control.CheckVersion(r.Relation.Version) != nil {
					t.Errorf("%q has the version %q in it", text, r.Relation.Version)
				}
			}
		}
	})
}
