package signing

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestSnapshotMayNotDropARole(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	extra := []byte("{}")
	r.forgeSnapshot(func(meta object) { meta["extra.json"] = metaFor(1, extra) })
	h.mustRefresh(t)
	snapshot := signedPart(r.read("metadata/2.snapshot.json"))
	delete(snapshot["meta"].(object), "extra.json")
	data := r.seal(RoleSnapshot, up(snapshot))
	r.write("metadata/3.snapshot.json", data)
	timestamp := up(signedPart(r.read("metadata/timestamp.json")))
	timestamp["meta"] = object{"snapshot.json": metaFor(3, data)}
	r.write("metadata/timestamp.json", r.seal(RoleTimestamp, timestamp))
	_, err := h.refresh(t)
	wantError(t, err, ErrRollback)
}

func TestTargetContentIsBoundedAndVerified(t *testing.T) {
	for _, test := range []struct {
		name   string
		want   error
		answer http.HandlerFunc
	}{
		{"longer than declared", ErrTooLarge, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "content!") }},
		{"shorter than declared", ErrMismatch, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "conten") }},
		{"other content", ErrMismatch, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "c0ntent") }},
		{"endless", ErrTooLarge, endless},
		{"missing", ErrUnavailable, http.NotFound},
		{"cut", ErrUnavailable, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "7")
			io.WriteString(w, "con")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRepository(t)
			r.publish(target, "content")
			c := r.newHost().mustRefresh(t)
			digest, _, _ := r.meta.Target(target)
			r.attackAt("/"+TargetPath(target, digest[:]), test.answer)
			got, err := c.Fetch(t.Context(), target)
			wantError(t, err, test.want)
			if got.Name() != "" || got.Bytes() != nil {
				t.Errorf("an error came with content %q", got.Bytes())
			}
			r.answer = nil
			mustFetch(t, c, target, "content")
		})
	}
}

func TestTargetNamesStayInTheRepository(t *testing.T) {
	r := newRepository(t)
	names := []string{"../x", "/etc/passwd", "a/../../x", "a\x00b", "%2e%2e/x", "a//b", "a/./b", "", ".", "..", "a/", `a\b`, "a?b", "a#b", "a b", "é", strings.Repeat("a", 513)}
	r.forgeTargets(func(signed object) {
		for _, name := range names {
			signed["targets"].(object)[name] = metaFor(0, []byte("x"))
			delete(signed["targets"].(object)[name].(object), "version")
		}
	})
	c := r.newHost().mustRefresh(t)
	r.answer = func(_ http.ResponseWriter, req *http.Request) bool {
		t.Errorf("the server was asked for %q", req.URL)
		return false
	}
	for _, name := range names {
		_, err := c.Fetch(t.Context(), name)
		wantError(t, err, ErrMalformed)
		if err := r.meta.SetTarget(name, nil); err == nil {
			t.Errorf("the owner may set target %q", name)
		}
	}
}
