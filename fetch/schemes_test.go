package fetch

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

type trips func(*http.Request) (*http.Response, error)

func (t trips) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func TestAnotherSchemeAnswersForItsRepository(t *testing.T) {
	asked := ""
	shelf := func(pool http.RoundTripper) http.RoundTripper {
		return trips(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.String()
			return &http.Response{StatusCode: http.StatusOK, Request: r, ContentLength: int64(len(content)), Body: io.NopCloser(bytes.NewReader(content))}, nil
		})
	}
	for base, want := range map[string]string{
		"shelf:///var/a b":     "shelf:///var/a%20b/x",
		"shelf://host:1/n:tag": "shelf://host:1/n:tag/x",
	} {
		c, err := New(Config{Base: base, Schemes: map[string]func(http.RoundTripper) http.RoundTripper{"shelf": shelf}})
		check(t, err)
		got, err := readRange(c, 100, 1000)
		if err != nil || !bytes.Equal(got, content[100:1000]) {
			t.Errorf("%s: %d bytes, %v", base, len(got), err)
		}
		if asked != want {
			t.Errorf("%s: asked for %s: want %s", base, asked, want)
		}
	}
}

func TestAServerCannotSendIntoAnotherScheme(t *testing.T) {
	c := serve(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "shelf:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	config := c.config
	config.Schemes = map[string]func(http.RoundTripper) http.RoundTripper{"shelf": func(http.RoundTripper) http.RoundTripper {
		t.Error("it is made for a repository on the web")
		return nil
	}}
	c, err := New(config)
	check(t, err)
	if _, err := readRange(c, 0, 10); err == nil || !strings.Contains(err.Error(), "unsupported protocol") {
		t.Errorf("error %v", err)
	}
}
