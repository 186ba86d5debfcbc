package fetch

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-os/proa/progress"
)

type handler = func(n int64, w http.ResponseWriter, r *http.Request)

// serveWeb is serve for whole URLs.
func serveWeb(t testing.TB, handle handler) (*Web, string) {
	t.Helper()
	var count atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(count.Add(1), w, r) }))
	t.Cleanup(server.Close)
	return NewWeb(Config{Patience: Patience{Window: 200 * time.Millisecond, Pause: time.Millisecond, Longest: 2 * time.Second}}), server.URL + "/file"
}

func wanted() Wanted { return Wanted{want().Size, want().Digest.String()} }

// counted is a step that counts bytes.
type counted struct{ n int64 }

func (c *counted) Add(n int64) { c.n += n }
func (c *counted) Done(error)  {}

// cut sends a response that is announced in full and breaks off after n bytes.
func cut(w http.ResponseWriter, r *http.Request, n int) {
	from := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(content[from : from+n])
}

func TestWebFileSurvivesWhatServersDo(t *testing.T) {
	other := bytes.Replace(content, []byte("0"), []byte("1"), 1)
	for name, test := range map[string]struct {
		start    []byte // of an earlier attempt
		handle   handler
		requests int64
	}{
		"plain":              {nil, func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 1},
		"resumed":            {content[:5000], func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 1},
		"there already":      {content, func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 0},
		"too much there":     {append(bytes.Clone(content), 1), func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 1},
		"empty file there":   {[]byte{}, func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(content) }, 1},
		"start of another":   {other[:5000], func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 2},
		"whole but another":  {other, func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) }, 1},
		"ranges ignored":     {content[:5000], func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(content) }, 2},
		"range not possible": {content[:5000], rangeNotPossible, 2},
		"other range": {content[:5000], func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				part(w, 206, fmt.Sprintf("bytes 0-%d/%d", len(content)-1, len(content)), content)
				return
			}
			whole(w, r)
		}, 2},
		"shorter range": {content[:5000], func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				part(w, 206, fmt.Sprintf("bytes 5000-5009/%d", len(content)), content[5000:5010])
				return
			}
			whole(w, r)
		}, 2},
		"changed meanwhile": {nil, func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				w.Write(other[:1000])
				return
			}
			whole(w, r)
		}, 3},
		"cut each time": {nil, func(_ int64, w http.ResponseWriter, r *http.Request) {
			from := 0
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			cut(w, r, min(len(content)-from, 300_000))
		}, 3},
		"cut without ranges": {nil, func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				cut(w, r, 1000)
				return
			}
			w.Write(content)
		}, 3},
		"busy with a wait": {nil, func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			whole(w, r)
		}, 2},
		"broken at first": {nil, func(n int64, w http.ResponseWriter, r *http.Request) {
			if n < 4 {
				w.WriteHeader(500)
				return
			}
			whole(w, r)
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := filepath.Join(t.TempDir(), "file")
			if test.start != nil {
				check(t, os.WriteFile(target, test.start, 0o600))
			}
			var requests atomic.Int64
			w, url := serveWeb(t, func(n int64, w http.ResponseWriter, r *http.Request) { requests.Store(n); test.handle(n, w, r) })
			var step counted
			err := w.File(t.Context(), url, wanted(), target, &step)
			got, readErr := os.ReadFile(target)
			if err != nil || readErr != nil || !bytes.Equal(got, content) {
				t.Fatalf("file of %d bytes, %v, %v", len(got), err, readErr)
			}
			if requests.Load() != test.requests {
				t.Errorf("%d requests: want %d", requests.Load(), test.requests)
			}
			if test.requests > 0 && step.n != int64(len(content)) {
				t.Errorf("%d bytes were reported: want %d", step.n, len(content))
			}
		})
	}
}

func TestAServerThatBeginsAnewEachTimeDoesNotKeepADownloadGoing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	w, url := serveWeb(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		if n > 100 {
			cancel(errors.New("more than 100 requests"))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:[]int{10_000, 300_000, 600_000}[n%3]])
	})
	err := w.File(ctx, url, wanted(), filepath.Join(t.TempDir(), "file"), &counted{})
	if err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("error %v: want that of the last attempt", err)
	}
}

func rangeNotPossible(_ int64, w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Range") != "" {
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	w.Write(content)
}

func TestWebFileRefusesWhatServersMustNotDo(t *testing.T) {
	other := bytes.Replace(content, []byte("0"), []byte("1"), 1)
	for name, test := range map[string]struct {
		handle handler
		want   string
	}{
		"other content": {func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(other) }, "content differs"},
		"shorter":       {func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(content[:5]) }, "another length"},
		"longer":        {func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(append(bytes.Clone(content), 1)) }, "more than was announced"},
		"absent":        {func(_ int64, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "404"},
		"busy for too long": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(503)
		}, "503"},
		"part unasked":  {func(_ int64, w http.ResponseWriter, r *http.Request) { part(w, 206, "bytes 0-9/10", content) }, "206"},
		"redirect loop": {func(_ int64, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, "more than 5 redirects"},
		"redirect to a file": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
		}, "unsupported protocol"},
		"compressed": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(content)
		}, "content encoding"},
		"cut each time": {func(_ int64, w http.ResponseWriter, r *http.Request) { cut(w, r, 10) }, "unexpected EOF"},
		"endless": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(content); err != nil {
					return
				}
			}
		}, "more than was announced"},
		"silent": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "too slow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := filepath.Join(t.TempDir(), "file")
			w, url := serveWeb(t, test.handle)
			err := w.File(t.Context(), url, wanted(), target, &counted{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v: want %q", err, test.want)
			}
			if got, _ := os.ReadFile(target); !bytes.HasPrefix(content, got) {
				t.Errorf("a wrong file of %d bytes is left", len(got))
			}
			if absent := test.want == "404"; errors.Is(err, fs.ErrNotExist) != absent {
				t.Errorf("error %v is fs.ErrNotExist: want %t", err, absent)
			}
		})
	}
}

func TestABusyServerIsGivenTheTimeItAsksFor(t *testing.T) {
	var first time.Time
	w, url := serveWeb(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if waited := time.Since(first); waited < time.Second {
			t.Errorf("it was asked again after %s", waited)
		}
		whole(w, r)
	})
	if _, err := w.Get(t.Context(), url, want().Size); err != nil {
		t.Error(err)
	}
}

func TestWebDoesNotLeaveHTTPS(t *testing.T) {
	var plain atomic.Int64
	insecure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { plain.Add(1); whole(w, r) }))
	defer insecure.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(insecure.URL, http.StatusFound))
	defer secure.Close()
	w := NewWeb(Config{Patience: Patience{Pause: time.Millisecond}})
	w.http.Transport.(*pacer).next = secure.Client().Transport
	target := filepath.Join(t.TempDir(), "file")
	err := w.File(t.Context(), secure.URL, wanted(), target, progress.Silent().Step("", 0))
	if err == nil || !strings.Contains(err.Error(), "redirect from https") || plain.Load() > 0 {
		t.Errorf("error %v after %d plain requests", err, plain.Load())
	}
}

func TestWebFileOfASHA512(t *testing.T) {
	w, url := serveWeb(t, func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	target := filepath.Join(t.TempDir(), "file")
	want := Wanted{int64(len(content)), fmt.Sprintf("sha512:%x", sha512.Sum512(content))}
	if err := w.File(t.Context(), url, want, target, &counted{}); err != nil {
		t.Error(err)
	}
	for _, bad := range []Wanted{{}, {10, "sha1:00"}, {10, "sha256:00"}, {0, want.Checksum}, {-1, want.Checksum}} {
		if err := w.File(t.Context(), url, bad, target, &counted{}); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestWebFileThatIsNotWholeIsKeptForTheNextAttempt(t *testing.T) {
	target := filepath.Join(t.TempDir(), "file")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	var sent atomic.Int64
	w, url := serveWeb(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:500_000])
			w.(http.Flusher).Flush()
			for info, err := os.Stat(target); err != nil || info.Size() < 400_000; info, err = os.Stat(target) {
				time.Sleep(time.Millisecond)
			}
			cancel(cause)
			<-r.Context().Done()
			return
		}
		from := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		sent.Add(int64(len(content) - from))
		whole(w, r)
	})
	w.config.Patience.Window = time.Minute
	if err := w.File(ctx, url, wanted(), target, &counted{}); !errors.Is(err, cause) {
		t.Fatalf("error %v", err)
	}
	if err := w.File(t.Context(), url, wanted(), target, &counted{}); err != nil {
		t.Fatal(err)
	}
	if sent.Load() > int64(len(content))-400_000 {
		t.Errorf("%d bytes were sent again", sent.Load())
	}
}

func TestWebFileGivesBackTheSpaceOfAFullDisk(t *testing.T) {
	w, url := serveWeb(t, func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	target := filepath.Join(t.TempDir(), "file")
	check(t, os.Symlink("/dev/full", target)) // writes fail with ENOSPC
	err := w.File(t.Context(), url, wanted(), target, &counted{})
	if err == nil {
		t.Fatal("it was written")
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestWebGet(t *testing.T) {
	for name, test := range map[string]struct {
		handle handler
		want   string // of the error; empty for none
	}{
		"plain":     {func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) }, ""},
		"in pieces": {func(_ int64, w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); w.Write(content) }, ""},
		"cut at first": {func(n int64, w http.ResponseWriter, r *http.Request) {
			cut(w, r, map[bool]int{true: 10, false: len(content)}[n == 1])
		}, ""},
		"named gzip": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "x-gzip")
			w.Write(content)
		}, "content encoding"},
		"absent":  {func(_ int64, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "404"},
		"forever": {func(_ int64, w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, "500"},
		"more": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)+1))
			w.Write(append(bytes.Clone(content), 1))
		}, "want at most"},
		"more unspoken": {func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			w.Write(append(bytes.Clone(content), 1))
		}, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, url := serveWeb(t, test.handle)
			got, err := w.Get(t.Context(), url, int64(len(content)))
			if test.want == "" && (err != nil || !bytes.Equal(got, content)) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v: want %q", err, test.want)
			}
			if absent := test.want == "404"; errors.Is(err, fs.ErrNotExist) != absent {
				t.Errorf("error %v is fs.ErrNotExist: want %t", err, absent)
			}
		})
	}
	w, url := serveWeb(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "x-gzip")
		w.Write(content)
	})
	if got, err := w.Get(t.Context(), url+".gz", int64(len(content))); err != nil || !bytes.Equal(got, content) {
		t.Errorf("a .gz file that is called gzip: %d bytes, %v", len(got), err)
	}
}
