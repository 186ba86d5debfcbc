package dropin_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/configure/dropin"
)

func TestWordsAreCutAndUnquoted(t *testing.T) {
	for text, want := range map[string][]string{
		`a  b	c`: {"a", "b", "c"}, `'a b' "c 'd'" e"f g"h`: {"a b", "c 'd'", "ef gh"}, `"" -`: {"", "-"},
		`a\x41\102\n\\ b`: {"aAB\n\\", "b"}, `a\sb`: {"a b"}, ``: nil,
	} {
		if got, err := dropin.Words(text, 9, false); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v: want %q", text, got, err, want)
		}
	}
	if got, err := dropin.Words(`f /x the "rest" of  it`, 3, true); err != nil || got[2] != `the "rest" of  it` {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{`"a`, `a\`, `\q`, `\x4`, `\000`, `a b c d`} {
		if got, err := dropin.Words(text, 3, false); err == nil {
			t.Errorf("%s: %q is accepted", text, got)
		}
	}
}

func TestSpecifiersOfMachinesAreNotKnown(t *testing.T) {
	s := dropin.NewSpecifiers(configuretest.Tree(t, map[string]string{"usr/lib/os-release": "ID=x\nVERSION_ID='1'\n"}))
	if got, err := s.Expand("%o-%w-%B%%"); err != nil || got != "x-1-%" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := s.Expand("/var/%m"); !errors.Is(err, dropin.ErrMachine) {
		t.Errorf("%%m: %v", err)
	}
	if _, err := s.Expand("%"); err == nil {
		t.Error("a single % is accepted")
	}
}

func TestLinesKnowWhereTheyAre(t *testing.T) {
	into := configuretest.Tree(t, map[string]string{
		"usr/lib/x.d/a.conf": "# no\n\n  one\n; no\ntwo", "etc/x.d/b.conf": "three", "usr/lib/x.d/b.conf": "hidden", "usr/lib/x.d/c": "no",
		"usr/lib/x.d/d.conf": strings.Repeat("x", 2<<20),
	})
	lines, err := dropin.Read(into, dropin.Files(into, dropin.Folders("x.d"), "[ab].conf")...)
	if err != nil || len(lines) != 0 {
		t.Errorf("%v, %v", lines, err)
	}
	lines, err = dropin.Read(into, dropin.Files(into, dropin.Folders("x.d"), ".conf")[:2]...)
	want := []dropin.Line{{File: "usr/lib/x.d/a.conf", Number: 3, Text: "one"}, {File: "usr/lib/x.d/a.conf", Number: 5, Text: "two"}, {File: "etc/x.d/b.conf", Number: 1, Text: "three"}}
	if err != nil || !slices.Equal(lines, want) {
		t.Errorf("%v, %v: want %v", lines, err, want)
	}
	if _, err := dropin.Read(into, "usr/lib/x.d/d.conf"); err == nil {
		t.Error("2 MiB are accepted")
	}
}
