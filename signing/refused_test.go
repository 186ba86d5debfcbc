package signing

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// endless never stops sending, at full speed.
func endless(w http.ResponseWriter, req *http.Request) {
	piece := bytes.Repeat([]byte(" "), 1<<16)
	for req.Context().Err() == nil {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

func TestHostRecoversWhenTheAttackEnds(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	r.publish(target, "two")
	h.mustRefresh(t)
	for i, answer := range []http.HandlerFunc{endless, http.NotFound} {
		r.attackAt("/metadata/timestamp.json", answer)
		if _, err := h.refresh(t); err == nil {
			t.Fatal("no error under attack")
		}
		r.answer = nil
		content := fmt.Sprint("after attack ", i)
		r.publish(target, content)
		mustFetch(t, h.mustRefresh(t), target, content)
	}
}

// Somebody between a host and its repository can change what no signature
// covers.
func TestTimestampChangedWhereNothingIsSignedKeepsNoHostFromTheTrueOne(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"space":          func(data []byte) []byte { return append(bytes.Clone(data), " \n"...) },
		"case of digits": upperSignature,
		"date in other digits": func(data []byte) []byte {
			return bytes.Replace(data, []byte(`Z"`), []byte(`.000Z"`), 1)
		},
		"unsigned field": func(data []byte) []byte { return append([]byte(`{"x": 1, `), bytes.TrimLeft(data, " \n{")...) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			h := r.newHost()
			r.publish(target, "two")
			right := r.read("metadata/timestamp.json")
			changed := change(right)
			if bytes.Equal(changed, right) {
				t.Fatal("nothing was changed")
			}
			r.write("metadata/timestamp.json", changed)
			mustFetch(t, h.mustRefresh(t), target, "two")
			r.write("metadata/timestamp.json", right)
			mustFetch(t, h.mustRefresh(t), target, "two")
			r.publish(target, "three")
			mustFetch(t, h.mustRefresh(t), target, "three")
		})
	}
}

// upperSignature writes a signature with the other hex digits.
func upperSignature(data []byte) []byte {
	const field = `"sig":"`
	start := bytes.Index(data, []byte(field)) + len(field)
	end := start + bytes.IndexByte(data[start:], '"')
	return slices.Concat(data[:start], bytes.ToUpper(data[start:end]), data[end:])
}

// attackAt lets the server answer one path in its own way.
func (r *testRepository) attackAt(path string, answer http.HandlerFunc) {
	r.answer = func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path != path {
			return false
		}
		answer(w, req)
		return true
	}
}
