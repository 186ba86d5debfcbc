package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var content = bytes.Repeat([]byte("0123456789abcdef"), 40_000)

func want() manifests.FetchFile {
	return manifests.FetchFile{Size: int64(len(content)), Digest: manifests.DigestOf(content)}
}

// serve gives a client of a server that calls handle with the number of the
// request, from 1.
func serve(t testing.TB, handle func(n int64, w http.ResponseWriter, r *http.Request)) *Client {
	t.Helper()
	var count atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(count.Add(1), w, r) }))
	t.Cleanup(server.Close)
	c, err := New(Config{Base: server.URL, Patience: Patience{Window: 200 * time.Millisecond, Pause: time.Millisecond}})
	check(t, err)
	return c
}

func whole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"one"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// part answers with a part of the content, under the header that it is told.
func part(w http.ResponseWriter, code int, contentRange string, body []byte) {
	if contentRange != "" {
		w.Header().Set("Content-Range", contentRange)
	}
	w.WriteHeader(code)
	w.Write(body)
}

func readRange(c *Client, from, to int64) ([]byte, error) {
	r := c.Range(context.Background(), "x", int64(len(content)), from, to)
	defer r.Close()
	return io.ReadAll(r)
}

func TestRangeSurvivesWhatServersDo(t *testing.T) {
	const from, to = 100, 500_000
	for name, handle := range map[string]func(int64, http.ResponseWriter, *http.Request){
		"plain":          func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) },
		"ranges ignored": func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(content) },
		"cut each time": func(n int64, w http.ResponseWriter, r *http.Request) {
			first := int64(0)
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &first)
			last := min(first+299_999, to-1)
			part(w, http.StatusPartialContent, fmt.Sprintf("bytes %d-%d/%d", first, last, len(content)), content[first:last+1])
		},
		"busy at first": func(n int64, w http.ResponseWriter, r *http.Request) {
			if n < 4 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			whole(w, r)
		},
		"broken in the middle": func(n int64, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				if r.Header.Get("If-Range") != `"one"` {
					t.Errorf("request %d is not bound to the content of the first", n)
				}
				whole(w, r)
				return
			}
			w.Header().Set("ETag", `"one"`)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 100-499999/%d", len(content)))
			w.Header().Set("Content-Length", "499900")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(content[100:1000])
		},
	} {
		for way, read := range ways {
			t.Run(name+", "+way, func(t *testing.T) {
				spans := []Span{{from, to}}
				got, err := read(t.Context(), serve(t, handle).Object("x", int64(len(content))), spans)
				expect(t, spans, got, err)
			})
		}
	}
}

func TestRangeRefusesWhatServersMustNotDo(t *testing.T) {
	n := len(content)
	for name, test := range map[string]struct {
		handle func(int64, http.ResponseWriter, *http.Request)
		want   string
	}{
		"absent":       {func(_ int64, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "404"},
		"forever busy": {func(_ int64, w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, "503"},
		"other start": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			part(w, 206, fmt.Sprintf("bytes 0-9/%d", n), content[:10])
		}, "server sends range"},
		"other total": {func(_ int64, w http.ResponseWriter, r *http.Request) { part(w, 206, "bytes 100-109/200", content[:10]) }, "server sends range"},
		"beyond the end": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			part(w, 206, fmt.Sprintf("bytes 100-%d/*", n), content[:10])
		}, "server sends range"},
		"no range": {func(_ int64, w http.ResponseWriter, r *http.Request) { part(w, 206, "", content[:10]) }, "content range"},
		"huge range": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			part(w, 206, "bytes 100-99999999999999999999/*", nil)
		}, "content range"},
		"range and length": {func(_ int64, w http.ResponseWriter, r *http.Request) { part(w, 206, "bytes 100-199/*", content[:10]) }, "server sends 10 bytes for range"},
		"other size":       {func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(content[:10]) }, "server sends 10 bytes"},
		"compressed": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(content)
		}, "content encoding"},
		"redirect loop": {func(_ int64, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, "more than 5 redirects"},
		"one byte each": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			first := 0
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &first)
			part(w, 206, fmt.Sprintf("bytes %d-%d/*", first, first), content[first:first+1])
		}, "unexpected EOF"},
		"slow": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(n))
			for range 100 {
				w.Write([]byte{1})
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}, "too slow"},
		"silent": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(n))
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "too slow"},
	} {
		for way, read := range ways {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				_, err := read(t.Context(), serve(t, test.handle).Object("x", int64(n)), []Span{{100, 500_000}})
				var failed *Error
				if !errors.As(err, &failed) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v: want one of the network with %q", err, test.want)
				}
			})
		}
	}
}

func TestCancelledRangeEndsWithItsCause(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	c := serve(t, func(_ int64, w http.ResponseWriter, r *http.Request) { cancel(cause); <-r.Context().Done() })
	if _, err := c.Range(ctx, "x", 10, 0, 10).Read(make([]byte, 1)); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
}

func TestFileIsWholeOrAbsent(t *testing.T) {
	other := bytes.Replace(content, []byte("0"), []byte("1"), 1)
	for name, test := range map[string]struct {
		handle func(int64, http.ResponseWriter, *http.Request)
		want   string // of the error; empty for none
	}{
		"plain": {func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) }, ""},
		"busy first": {func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.WriteHeader(500)
				return
			}
			whole(w, r)
		}, ""},
		"cut first": {func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				w.Write(content[:1000])
				return
			}
			whole(w, r)
		}, ""},
		"other content": {func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(other) }, "content differs"},
		"shorter":       {func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(content[:5]) }, "another length"},
		"absent":        {func(_ int64, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "404"},
		"part":          {func(_ int64, w http.ResponseWriter, r *http.Request) { part(w, 206, "bytes 0-9/10", content) }, "206"},
		"endless": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(content); err != nil {
					return
				}
			}
		}, "more than was announced"},
	} {
		t.Run(name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "file")
			// What lies there, even of the right size, is not trusted.
			check(t, os.WriteFile(target, other, 0o600))
			err := serve(t, test.handle).File(context.Background(), "x", want(), target)
			got, readErr := os.ReadFile(target)
			if test.want == "" {
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("file of %d bytes, %v", len(got), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v: want %q", err, test.want)
			}
			if !errors.Is(readErr, os.ErrNotExist) {
				t.Errorf("a file of %d bytes is left", len(got))
			}
		})
	}
}

func TestBasesThatAreNoRepositoryAreRefused(t *testing.T) {
	for _, base := range []string{"", "ftp://x", "/var/repo", "http://", "http://x?y", "http://x#y", "http://[", "file:///x"} {
		if _, err := New(Config{Base: base}); err == nil {
			t.Errorf("%q is accepted", base)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	f.Add("bytes 0-9/10")
	f.Add("bytes 5-9/*")
	f.Add("bytes -1-9/10")
	f.Fuzz(func(t *testing.T, header string) {
		first, last, total, err := parseContentRange(header)
		if err == nil && (first < 0 || last < first || total != -1 && last >= total) {
			t.Errorf("%q is read as %d-%d/%d", header, first, last, total)
		}
	})
}

func TestNoErrorShowsThePasswordOfTheRepository(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "wrong") {
			w.Write([]byte("bytes"))
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	for _, base := range []string{server.URL, "http://127.0.0.1:1"} {
		c, err := New(Config{Base: strings.Replace(base, "http://", "http://user:secret@", 1), Patience: Patience{Attempts: 1}})
		check(t, err)
		for _, name := range []string{"wrong", "missing"} {
			file := c.File(t.Context(), name, manifests.FetchFile{Size: 5}, filepath.Join(t.TempDir(), "file"))
			_, part := io.ReadAll(c.Range(t.Context(), "missing", 5, 0, 5))
			for _, err := range []error{file, part} {
				if err == nil || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s of %s: %v", name, base, err)
				}
			}
		}
	}
}
