package manifests

import (
	"strings"
	"testing"
)

const goodNotice = `{"schema": 1, "product": "demo", "arch": "amd64", "version": "1.2.0", "release": "sha256:` + hex64 + `",
  "notes": "Fixes:\n\t* naïve clocks 🕰", "requires": {"version": "1.1.0", "release": "sha256:` + hex64 + `"},
  "retracted": {"when": "2026-11-26T06:00:00Z", "reason": "loses /var on NVMe"}}`

func TestNoticeSaysWhatThePublisherSays(t *testing.T) {
	n, err := ParseNotice([]byte(goodNotice))
	if err != nil {
		t.Fatal(err)
	}
	if n.Requires.Version != "1.1.0" || !strings.HasPrefix(n.Notes, "Fixes:\n") {
		t.Errorf("notice %+v", n)
	}
	if got, want := n.Retracted.String(), "retracted by its publisher on 2026-11-26 06:00 UTC: loses /var on NVMe"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := n.CheckFor("demo", AMD64, "1.2.0", n.Release); err != nil {
		t.Error(err)
	}
	silent, err := ParseNotice([]byte(`{"schema": 1, "product": "demo", "arch": "amd64", "version": "1", "release": "sha256:` + hex64 + `"}`))
	if err != nil || silent.Notes != "" || silent.Requires != nil || silent.Retracted != nil {
		t.Errorf("notice %+v: %v", silent, err)
	}
}

func TestNoticeOfAnotherReleaseIsTold(t *testing.T) {
	n, err := ParseNotice([]byte(goodNotice))
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"product": n.CheckFor("other", AMD64, "1.2.0", n.Release),
		"arch":    n.CheckFor("demo", ARM64, "1.2.0", n.Release),
		"version": n.CheckFor("demo", AMD64, "1.2.1", n.Release),
		"release": n.CheckFor("demo", AMD64, "1.2.0", DigestOf(nil)),
	} {
		if err == nil {
			t.Errorf("another %s is not told", name)
		}
	}
}

func TestBadNoticeIsRefused(t *testing.T) {
	for old, bad := range map[string]struct{ text, want string }{
		`"schema": 1`:        {`"schema": 2`, "schema 2"},
		`"demo"`:             {`"../demo"`, "product"},
		`"amd64"`:            {`"vax"`, "vax"},
		`"1.1.0"`:            {`"1.2.0"`, "want an older version"},
		`"requires": {"v`:    {`"requires": {"w": 1, "v`, "no such field"},
		`"notes": "Fixes:`:   {`"notes": "\u001b[2J`, "U+001B is not printable"},
		`naïve`:              {"\u202enaïve", "U+202E is not printable"},
		`loses /var`:         {`loses\n/var`, "U+000A is not printable"},
		`loses /var on NVMe`: {strings.Repeat("x", ReasonMost+1), "want a line of 1 to 500"},
		`"reason": "loses`:   {`"reason": " ", "why": "loses`, "no such field"},
		`06:00:00Z`:          {`06:00:00+01:00`, "want UTC"},
		`00:00Z`:             {`00:00.5Z`, "whole seconds"},
		`🕰`:                  {strings.Repeat("x", NotesMost), "want at most 16384"},
		`"2026-`:             {`"0001-`, "since 1970"},

		`{"version": "1.1.0"`:                  {`{"version": "1/0"`, `version "1/0"`},
		`"1.2.0", "release": "sha256:` + hex64: {`"1.2.0", "release": "sha256:` + strings.Repeat("0", 64), "no release"},
		`"1.1.0", "release": "sha256:` + hex64: {`"1.1.0", "release": "sha256:` + strings.Repeat("0", 64), "no release of what is required"},
	} {
		if !strings.Contains(goodNotice, old) {
			t.Fatalf("no %s", old)
		}
		_, err := ParseNotice([]byte(strings.Replace(goodNotice, old, bad.text, 1)))
		if err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: error %v, want %q", bad.text, err, bad.want)
		}
	}
	for _, reason := range []string{"", "  ", "\xff"} {
		if CheckReason(reason) == nil {
			t.Errorf("reason %q is accepted", reason)
		}
	}
}

func FuzzParseNotice(f *testing.F) { fuzzParser(f, goodNotice, ParseNotice) }
