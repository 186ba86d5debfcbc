package manifests

import (
	"encoding/json"
	"strings"
	"testing"
)

const goodState = `{"schema": 1,
  "migrations": [{"to": 3, "run": "/usr/lib/gateway/3", "reversible": true}, {"to": 4, "run": "/usr/lib/gateway/4", "reversible": false}],
  "etc": [
    {"path": "etc/a", "mode": "0755", "uid": 0, "gid": 0, "folder": true},
    {"path": "etc/a.b", "mode": "0777", "uid": 0, "gid": 0, "link": "../run/b"},
    {"path": "etc/a/c", "mode": "04644", "uid": 7, "gid": 8, "file": "sha256:` + hex64 + `"}
  ]}`

func TestStateIsRead(t *testing.T) {
	s, err := ParseState([]byte(goodState))
	if err != nil {
		t.Fatal(err)
	}
	if s.VarFormat() != 4 || s.OldestVarFormat() != 2 {
		t.Errorf("formats %d from %d: want 4 from 2", s.VarFormat(), s.OldestVarFormat())
	}
	if e, ok := s.Entry("etc/a/c"); !ok || e.UID != 7 {
		t.Errorf("etc/a/c is %+v, %v", e, ok)
	}
	if e, ok := s.Entry("etc/a/"); ok {
		t.Errorf("found %+v", e)
	}
	if none := (State{}); none.VarFormat() != FirstVarFormat || none.OldestVarFormat() != FirstVarFormat {
		t.Errorf("without migrations: %d from %d", none.VarFormat(), none.OldestVarFormat())
	}
}

func TestStateRefusesWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"to": 4`, `"to": 5`, "migrations[1]: to 5 after 3: want 4"},
		{`"to": 3`, `"to": 1`, "migrations[0]: to 1: want 2"},
		{`/usr/lib/gateway/3`, `usr/lib/3`, `run "usr/lib/3"`},
		{`/usr/lib/gateway/3`, `/usr/../3`, "clean absolute path"},
		{`/usr/lib/gateway/3`, `/usr/\n3`, "clean absolute path"},
		{`"etc/a.b"`, `"etc/a"`, `etc[1]: "etc/a" after "etc/a"`},
		{`"etc/a/c"`, `"etc/../x"`, "clean path below etc"},
		{`"etc/a/c"`, `"usr/c"`, "clean path below etc"},
		{`"04644"`, `"0888"`, "mode"},
		{`"04644"`, `"644"`, "mode"},
		{`, "folder": true`, ``, "want one of"},
		{`, "folder": true`, `, "folder": true, "link": "x"`, "want one of"},
		{`"schema": 1`, `"schema": 2`, "schema 2"},
		{`"uid": 7`, `"uid": -7`, ""},
		{`"reversible": false`, `"reversible": false, "then": 1`, ""},
		{`"migrations": [`, `"migrations": null, "x": [`, ""},
	} {
		text := strings.Replace(goodState, c.old, c.new, 1)
		if text == goodState {
			t.Fatalf("%q is not in the document", c.old)
		}
		if _, err := ParseState([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s in place of %s: %v: want %q", c.new, c.old, err, c.want)
		}
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(goodState))
	f.Add([]byte(`{"schema":1,"migrations":[],"etc":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseState(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseState(text); err != nil {
			t.Errorf("%q: read, but %q is not: %v", data, text, err)
		}
	})
}
