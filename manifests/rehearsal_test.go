package manifests

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func goodRehearsal() Rehearsal {
	return Rehearsal{
		Product: "edge", Version: "1.1.0", Arch: AMD64, Channel: "beta", Accel: "tcg", Checks: []string{"gateway"},
		Finished: time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC), Settings: DigestOf([]byte("{}")),
		From: []RehearsedFrom{
			{Version: "1.0.0", Release: DigestOf([]byte("old")), Passed: []string{"power cut in the download", "update"}},
			{Version: "0.9.0", Release: DigestOf([]byte("older")), Passed: []string{"update"}},
		},
	}
}

func TestARehearsalIsAStatementThatOthersRead(t *testing.T) {
	release := DigestOf([]byte("release"))
	text, err := goodRehearsal().Statement(release)
	if err != nil {
		t.Fatal(err)
	}
	readByOthers(t, text, RehearsalType, release)
	about, r, err := ParseRehearsal(text)
	if err != nil || about != release || !reflect.DeepEqual(r, goodRehearsal()) {
		t.Errorf("got %v of %s, %v", r, about, err)
	}
	more := strings.Replace(string(text), `"product"`, `"later":[1],"product"`, 1)
	if _, r, err := ParseRehearsal([]byte(more)); err != nil || r.Product != "edge" {
		t.Errorf("with a field of a later version: %+v, %v", r, err)
	}
}

func TestWhatIsNoRehearsalIsRefused(t *testing.T) {
	text, err := goodRehearsal().Statement(DigestOf([]byte("release")))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"Statement/v1", "Statement/v0.1", "want https://in-toto.io/Statement/v1"},
		{"proa/rehearsal/v1", "proa/rehearsal/v2", "predicateType"},
		{`"release.json"`, `"root.erofs"`, "subject: want one, named release.json"},
		{`"subject":[`, `"subject":[{"name":"release.json","digest":{}},`, "subject: want one"},
		{`"sha256":"`, `"sha512":"`, "want sha256: and 64"},
		{`"product":"edge"`, `"product":"../edge"`, "product"},
		{`"version":"1.1.0"`, `"version":""`, "version"},
		{`"arch":"amd64"`, `"arch":"vax"`, "vax"},
		{`"passed":["update"]`, `"passed":[]`, "from[1]: want"},
		{`"version":"0.9.0"`, `"version":"/"`, `version "/"`},
		{`{"_type"`, `{"_type":"x","_type"`, "_type"},
		{`"accel":"tcg"`, `"accel":null`, "null"},
	} {
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if changed == string(text) {
			t.Fatalf("%s is not in it", c.old)
		}
		if _, _, err := ParseRehearsal([]byte(changed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.new, err, c.want)
		}
	}
	none := goodRehearsal()
	none.From = nil
	if _, err := none.Statement(Digest{}); err == nil {
		t.Error("a rehearsal from nothing is a statement")
	}
}

func FuzzParseRehearsal(f *testing.F) {
	text, err := goodRehearsal().Statement(DigestOf([]byte("release")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		about, r, err := ParseRehearsal(data)
		if err != nil {
			return
		}
		again, err := r.Statement(about)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if other, _, err := ParseRehearsal(again); err != nil || other != about {
			t.Fatalf("what was written is not read: %v", err)
		}
	})
}
