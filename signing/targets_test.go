package signing

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/proa-os/proa/signing/forge"
)

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
	r.PutTargets(func(signed forge.Object) {
		for _, name := range names {
			signed["targets"].(forge.Object)[name] = forge.Listed([]byte("x"))
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
