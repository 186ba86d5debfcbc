package richdeps

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
)

func plain(name string) packages.Requirement {
	return packages.Requirement{Relation: packages.Relation{Name: name}}
}

func versioned(name string, op packages.Op, version string) packages.Requirement {
	return packages.Requirement{Relation: packages.Relation{Name: name, Op: op, Version: version}}
}

func joined(c packages.Connective, args ...packages.Requirement) packages.Requirement {
	return packages.Requirement{Joined: c, Args: args}
}

// good are the shapes that the RPM manual shows, and names that repositories have.
func good() map[string]packages.Requirement {
	a, b, c := plain("a"), plain("b"), plain("c")
	return map[string]packages.Requirement{
		"a":                               a,
		" a ":                             a,
		"(a)":                             a,
		"((a))":                           a,
		"a >= 1:2.3-4":                    versioned("a", packages.GreaterEqual, "1:2.3-4"),
		"a>=1":                            versioned("a>=1", packages.Any, ""),
		"a = 0:1~rc1^git2":                versioned("a", packages.Equal, "1~rc1^git2"),
		"a => 1":                          versioned("a", packages.GreaterEqual, "1"),
		"a == 1":                          versioned("a", packages.Equal, "1"),
		"libc.so.6(GLIBC_2.2.5)(64bit)":   plain("libc.so.6(GLIBC_2.2.5)(64bit)"),
		"pkgconfig(glib-2.0) >= 2":        versioned("pkgconfig(glib-2.0)", packages.GreaterEqual, "2"),
		"/usr/bin/perl":                   plain("/usr/bin/perl"),
		"(a and b and c)":                 joined(packages.And, a, b, c),
		"(a or b)":                        joined(packages.Or, a, b),
		"(a if b)":                        joined(packages.If, a, b),
		"(a if b else c)":                 joined(packages.If, a, b, c),
		"(a unless b else c)":             joined(packages.Unless, a, b, c),
		"(a with b with c)":               joined(packages.With, a, b, c),
		"(a without b)":                   joined(packages.Without, a, b),
		"(a(x) or b(y)(z))":               joined(packages.Or, plain("a(x)"), plain("b(y)(z)")),
		"(a or (b and c))":                joined(packages.Or, a, joined(packages.And, b, c)),
		"((a if b) and\t(b with c >= 2))": joined(packages.And, joined(packages.If, a, b), joined(packages.With, b, versioned("c", packages.GreaterEqual, "2"))),
		"(a >= 1 if (b = 2 or c<3))":      joined(packages.If, versioned("a", packages.GreaterEqual, "1"), joined(packages.Or, versioned("b", packages.Equal, "2"), plain("c<3"))),
	}
}

func bad() []string {
	return []string{
		"", " ", "(", ")", "()", "(a", "a)", "(a))", "(a b)", "a b", "(a or)", "(or a)", "(a or b and c)", "(a if b if c)",
		"(a else b)", "(a if b else c else a)", "(a and b else c)", "(a unless b unless c)", "(a without b without c)",
		"((a and b) with c)", "(a with (b if c))", "a >=", "a >= ", "a >< 1", "(a >= 1 2)", "(a > )", "a = x:1", "a = :", "a = :1:2", "a\x00", "a\xff",
		"a = 1 = 2", "(a) (b)", "(x or b(y)(z )", "(x = 1(2 )", strings.Repeat("(", 33) + "a" + strings.Repeat(")", 33), strings.Repeat("a", 64<<10+1),
	}
}

func TestParse(t *testing.T) {
	for s, want := range good() {
		got, err := Parse(s)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v: want %+v", s, got, err, want)
		}
	}
	for _, s := range bad() {
		if got, err := Parse(s); err == nil || !strings.HasPrefix(err.Error(), "dependency ") || len(err.Error()) > 400 {
			t.Errorf("%.60q: %+v, %v: want an error that names it", s, got, err)
		}
	}
	deep := strings.Repeat("(", 32) + "a" + strings.Repeat(")", 32)
	if _, err := Parse(deep); err != nil {
		t.Error(err)
	}
}

// TestRPMAcceptsTheSame asks rpmbuild, which refuses a spec file with a
// dependency that it cannot read.
func TestRPMAcceptsTheSame(t *testing.T) {
	dir := t.TempDir()
	accepts := func(dependency string) bool {
		tag := "Requires: "
		if strings.Contains(dependency, "unless") { // has its place in conflicts only
			tag = "Conflicts: "
		}
		spec := filepath.Join(dir, "a.spec")
		text := "Name: x\nVersion: 1\nRelease: 1\nSummary: x\nLicense: MIT\n" + tag + dependency + "\n%description\n"
		if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.Command("rpmspec", "--parse", spec).Run() == nil
	}
	for s := range good() {
		if !accepts(strings.TrimSpace(s)) {
			t.Errorf("%s: rpm does not accept it", s)
		}
	}
	for _, s := range bad() {
		switch {
		// A line of a spec file may have several dependencies, none, and cannot have
		// these bytes; rpm does not look at the epoch, at an else without an if and at
		// parentheses inside of a word, and has no such bounds.
		case s == "(x or b(y)(z )", strings.TrimSpace(s) == "", s == "a b", s == "(a) (b)", s == "a)", s == ")", s == "a = x:1", strings.HasPrefix(s, "a = :"), s == "(a else b)", strings.ContainsAny(s, "\x00\xff"), len(s) > 60:
		default:
			if accepts(s) {
				t.Errorf("%s: rpm accepts it", s)
			}
		}
	}
}

func TestRequirementOfAttributes(t *testing.T) {
	for _, c := range []struct {
		name, flags, epoch, version, release string
		want                                 string // "" for an error
	}{
		{"a", "", "", "", "", "a"},
		{"a", "GE", "0", "1.2", "3", "a >= 1.2-3"},
		{"a", "EQ", "1", "1.2", "", "a = 1:1.2"},
		{"a", "LT", "", "2", "", "a < 2"},
		{"a", "LE", "00", "2", "", "a <= 2"},
		{"a", "GT", "010", "2", "", "a > 10:2"},
		{"/usr/share/a b", "", "", "", "", "/usr/share/a b"},
		{"(a or b)", "", "", "", "", "(a or b)"},
		{"(a or b)", "EQ", "", "1", "", ""},
		{"(a or", "", "", "", "", ""},
		{"a", "eq", "", "1", "", ""},
		{"a", "EQ", "", "", "", "a"},
		{"a", "EQ", "", "", "1", ""},
		{"a", "EQ", "-1", "1", "", ""},
		{"a", "EQ", "0", "1 2", "", ""},
		{"", "", "", "", "", ""},
		{"a\n", "", "", "", "", ""},
	} {
		r, err := Requirement(c.name, c.flags, c.epoch, c.version, c.release)
		if got := packages.RPM.Text(r); err == nil && got != c.want || err != nil && c.want != "" {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for s := range good() {
		f.Add(s)
	}
	for _, s := range bad() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		text := packages.RPM.Text(r)
		again, err := Parse(text)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q is %+v, its text %q is %+v, %v", s, r, text, again, err)
		}
	})
}
