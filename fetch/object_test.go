package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ways are those to read spans of a file; each gives what it read of every span.
var ways = map[string]func(ctx context.Context, o *Object, spans []Span) ([][]byte, error){
	"ranges": func(ctx context.Context, o *Object, spans []Span) ([][]byte, error) {
		r := o.Ranges(ctx, spans)
		defer r.Close()
		got := make([][]byte, len(spans))
		for i, s := range spans {
			var err error
			if got[i], err = io.ReadAll(io.LimitReader(r, s.To-s.From)); err != nil {
				return got, err
			}
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			return got, fmt.Errorf("after the end: %d bytes, %v", n, err)
		}
		return got, nil
	},
	"each alone": func(ctx context.Context, o *Object, spans []Span) ([][]byte, error) {
		return readEach(ctx, o, spans, 1)
	},
	"each of four": func(ctx context.Context, o *Object, spans []Span) ([][]byte, error) {
		return readEach(ctx, o, spans, 4)
	},
}

func readEach(ctx context.Context, o *Object, spans []Span, parallel int) ([][]byte, error) {
	got := make([][]byte, len(spans))
	err := o.Each(ctx, spans, parallel, func(n int, r io.Reader) error {
		data, err := io.ReadAll(r)
		if err == nil && got[n] != nil {
			err = fmt.Errorf("span %d is given twice", n)
		}
		got[n] = data
		time.Sleep(time.Millisecond) // so that they take turns
		return err
	})
	return got, err
}

// memory is a client of a server in the same process, without a network and so
// with any clock.
func memory(t testing.TB, handle func(n int64, w http.ResponseWriter, r *http.Request)) *Client {
	t.Helper()
	var count atomic.Int64
	scheme := func(http.RoundTripper) http.RoundTripper {
		return trips(func(r *http.Request) (*http.Response, error) {
			if r.Context().Err() != nil {
				return nil, context.Cause(r.Context())
			}
			w := httptest.NewRecorder()
			handle(count.Add(1), w, r)
			response := w.Result()
			response.Request = r
			return response, nil
		})
	}
	c, err := New(Config{Base: "memory:///", Schemes: map[string]func(http.RoundTripper) http.RoundTripper{"memory": scheme}})
	check(t, err)
	return c
}

func expect(t testing.TB, spans []Span, got [][]byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range spans {
		if !bytes.Equal(got[i], content[s.From:s.To]) {
			t.Fatalf("span %d of %d: %d bytes that are not %d-%d of the file", i, len(spans), len(got[i]), s.From, s.To)
		}
	}
}

func TestSpansNearEachOtherComeWithOneRequest(t *testing.T) {
	for name, test := range map[string]struct {
		spans    []Span
		requests int64
		most     int64 // bytes
	}{
		"none":             {nil, 0, 0},
		"one":              {[]Span{{5, 6}}, 1, 1},
		"all of it":        {[]Span{{0, 640_000}}, 1, 640_000},
		"adjacent":         {[]Span{{0, 1000}, {1000, 1001}, {1001, 5000}}, 1, 5000},
		"a gap to bridge":  {[]Span{{100, 200}, {200 + bridge, 30_000}}, 1, 29_900},
		"a gap too long":   {[]Span{{100, 200}, {201 + bridge, 30_000}}, 2, 29_899 - bridge},
		"two pairs":        {[]Span{{0, 1}, {5, 6}, {300_000, 300_001}, {300_002, 300_003}}, 2, 9},
		"up to the end":    {[]Span{{1, 2}, {639_999, 640_000}}, 2, 2},
		"a gap that grows": {[]Span{{0, 10}, {4000, 4010}, {8000, 8010}, {16_000, 16_010}}, 2, 8020},
	} {
		for way, read := range ways {
			var requests atomic.Int64
			c := memory(t, func(n int64, w http.ResponseWriter, r *http.Request) { requests.Store(n); whole(w, r) })
			got, err := read(t.Context(), c.Object("x", int64(len(content))), test.spans)
			expect(t, test.spans, got, err)
			if requests.Load() != test.requests || c.Received() > test.most {
				t.Errorf("%s, %s: %d requests and %d bytes: want %d and at most %d", name, way, requests.Load(), c.Received(), test.requests, test.most)
			}
		}
	}
}

func TestAServerWithoutRangesIsReadOnce(t *testing.T) {
	spans := []Span{{0, 10}, {50_000, 50_010}, {100_000, 300_000}, {300_000, 400_000}, {639_000, 640_000}}
	for way, read := range ways {
		synctest.Test(t, func(t *testing.T) {
			var requests atomic.Int64
			c := memory(t, func(n int64, w http.ResponseWriter, r *http.Request) { requests.Store(n); w.Write(content) })
			o := c.Object("x", int64(len(content)))
			for pass := int64(1); pass <= 2; pass++ {
				got, err := read(t.Context(), o, spans)
				expect(t, spans, got, err)
				if requests.Load() != pass || c.Received() > pass*int64(len(content)) {
					t.Errorf("%s: %d requests and %d bytes of a file of %d after pass %d", way, requests.Load(), c.Received(), len(content), pass)
				}
			}
		})
	}
}

// TestAServerThatStopsKnowingRangesIsReadByOne has four at work when that happens.
func TestAServerThatStopsKnowingRangesIsReadByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory(t, func(n int64, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				w.Write(content)
				return
			}
			whole(w, r)
		})
		spans := apart(20)
		var wrong atomic.Int64
		check(t, c.Object("x", int64(len(content))).Each(t.Context(), spans, 4, func(n int, r io.Reader) error {
			data, err := io.ReadAll(r)
			if !bytes.Equal(data, content[spans[n].From:spans[n].To]) {
				wrong.Add(1)
			}
			time.Sleep(time.Millisecond) // so that they take turns
			return err
		}))
		if most := int64(len(content)) + 4*spans[5].From; wrong.Load() > 0 || c.Received() > most {
			t.Errorf("%d wrong spans, %d bytes for a file of %d: want at most %d", wrong.Load(), c.Received(), len(content), most)
		}
	})
}

// TestSpansSurviveWhatServersDo reads random spans from servers that change
// their mind.
func TestSpansSurviveWhatServersDo(t *testing.T) {
	cutAt := func(w http.ResponseWriter, r *http.Request, most int64) {
		from, to := int64(0), int64(0)
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
		to = min(to+1, from+most)
		part(w, http.StatusPartialContent, fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(content)), content[from:to])
	}
	servers := map[string]func(int64, http.ResponseWriter, *http.Request){
		"all well":       func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) },
		"ranges ignored": func(_ int64, w http.ResponseWriter, r *http.Request) { w.Write(content) },
		"cut each time":  func(_ int64, w http.ResponseWriter, r *http.Request) { cutAt(w, r, enough) },
		"busy now and then": func(n int64, w http.ResponseWriter, r *http.Request) {
			if n%3 == 1 {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			whole(w, r)
		},
		"ranges ignored later": func(n int64, w http.ResponseWriter, r *http.Request) {
			if n > 2 {
				w.Write(content)
				return
			}
			whole(w, r)
		},
		"ranges ignored at first": func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				w.Write(content[:len(content)/2])
				return
			}
			whole(w, r)
		},
		"ranges now and then": func(n int64, w http.ResponseWriter, r *http.Request) {
			if n%2 == 0 {
				w.Write(content)
				return
			}
			cutAt(w, r, enough)
		},
	}
	for name, handle := range servers {
		for way, read := range ways {
			synctest.Test(t, func(t *testing.T) {
				for seed := range uint64(20) {
					spans := randomSpans(rand.New(rand.NewPCG(seed, 1)), int64(len(content)))
					c := memory(t, handle)
					got, err := read(t.Context(), c.Object("x", int64(len(content))), spans)
					if err != nil {
						t.Fatalf("%s, %s, %v: %v", name, way, spans, err)
					}
					expect(t, spans, got, err)
				}
			})
		}
	}
}

func randomSpans(r *rand.Rand, size int64) []Span {
	var spans []Span
	for at := int64(0); ; {
		if r.IntN(3) > 0 {
			at += r.Int64N(1 << (1 + r.IntN(18)))
		}
		end := at + 1 + r.Int64N(1<<(1+r.IntN(16)))
		if end > size {
			return spans
		}
		spans = append(spans, Span{at, end})
		at = end
	}
}

func TestSpansThatMakeNoSenseAreRefused(t *testing.T) {
	for _, spans := range [][]Span{
		{{-1, 5}}, {{5, 5}}, {{6, 5}}, {{0, 640_001}}, {{10, 20}, {5, 8}}, {{10, 20}, {19, 30}}, {{10, 20}, {10, 20}}, {{1 << 62, -1 << 62}},
	} {
		for way, read := range ways {
			c := memory(t, func(int64, http.ResponseWriter, *http.Request) { t.Errorf("%v: the server is asked", spans) })
			if _, err := read(t.Context(), c.Object("x", int64(len(content))), spans); err == nil || !strings.Contains(err.Error(), "of x: want some from") {
				t.Errorf("%s, %v: error %v", way, spans, err)
			}
		}
	}
}

func TestAFileThatIsReplacedIsNoticed(t *testing.T) {
	other := bytes.Repeat([]byte{'x'}, len(content))
	serveAs := func(w http.ResponseWriter, r *http.Request, tag string, data []byte) {
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
	spans := []Span{{0, 10}, {100_000, 100_010}, {200_000, 200_010}, {300_000, 300_010}, {400_000, 400_010}}
	for name, test := range map[string]struct {
		handle func(int64, http.ResponseWriter, *http.Request)
		want   bool
	}{
		"between requests": {func(n int64, w http.ResponseWriter, r *http.Request) {
			if n > 2 {
				serveAs(w, r, `"two"`, other)
				return
			}
			serveAs(w, r, `"one"`, content)
		}, true},
		"without If-Range": {func(n int64, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Range")
			if n > 2 {
				serveAs(w, r, `"two"`, other)
				return
			}
			serveAs(w, r, `"one"`, content)
		}, true},
		"by another of the same length": {func(n int64, w http.ResponseWriter, r *http.Request) {
			if n > 1 && r.Header.Get("If-Range") != `"one"` {
				t.Error("a request is not bound to the file that was seen first")
			}
			serveAs(w, r, []string{`"one"`, `"two"`}[min(n-1, 1)], content)
		}, true},
		"one server of two has another name for it": {func(n int64, w http.ResponseWriter, r *http.Request) {
			serveAs(w, r, []string{`"one"`, `"two"`}[(n+1)%2], content)
		}, false},
		"weak names": {func(n int64, w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-Range") != "" {
				t.Error("a weak ETag is sent, which If-Range must not have")
			}
			serveAs(w, r, fmt.Sprintf(`W/"%d"`, n), content)
		}, false},
	} {
		for way, read := range ways {
			synctest.Test(t, func(t *testing.T) {
				got, err := read(t.Context(), memory(t, test.handle).Object("x", int64(len(content))), spans)
				if !test.want {
					expect(t, spans, got, err)
					return
				}
				var failed *Error
				if !errors.Is(err, ErrChanged) || !errors.As(err, &failed) || !strings.Contains(err.Error(), `memory:///x: file changed during the download: its ETag was "\"one\"" and is "\"two\""`) {
					t.Errorf("%s, %s: error %v", name, way, err)
				}
				for i := range got {
					if bytes.Contains(got[i], []byte{'x'}) {
						t.Errorf("%s, %s: span %d is of the other file", name, way, i)
					}
				}
			})
		}
	}
}

// TestStreamsOfOneObjectAreOfOneFile opens them one after the other.
func TestStreamsOfOneObjectAreOfOneFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory(t, func(n int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(min(n, 2))))
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		})
		o := c.Object("x", int64(len(content)))
		if _, err := io.ReadAll(o.Range(t.Context(), 0, 10)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(o.Range(t.Context(), 10, 20)); !errors.Is(err, ErrChanged) {
			t.Errorf("error %v", err)
		}
		// Another run takes the file as it is now.
		if _, err := io.ReadAll(c.Object("x", int64(len(content))).Range(t.Context(), 10, 20)); err != nil {
			t.Error(err)
		}
	})
}

func TestABusyServerIsAskedAgainWhenItSays(t *testing.T) {
	for after, wait := range map[string]time.Duration{"30": 30 * time.Second, "": 500 * time.Millisecond, "soon": 500 * time.Millisecond, "3600": -1} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			c := memory(t, func(n int64, w http.ResponseWriter, r *http.Request) {
				if n == 1 {
					w.Header().Set("Retry-After", after)
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				if waited := time.Since(start); waited != wait {
					t.Errorf("Retry-After %q: asked again after %s: want %s", after, waited, wait)
				}
				whole(w, r)
			})
			_, err := readRange(c, 0, 10)
			if wait >= 0 && err != nil || wait < 0 && RetryAfter(err) != time.Hour {
				t.Errorf("Retry-After %q: error %v", after, err)
			}
		})
	}
}

func TestEachIsDoneByAsManyAsItIsTold(t *testing.T) {
	big := bytes.Repeat([]byte{1}, 20<<20)
	c := memory(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(big))
	})
	var spans []Span
	for at := int64(0); at < int64(len(big)); at += 64 << 10 {
		spans = append(spans, Span{at, at + 64<<10})
	}
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		check(t, c.Object("x", int64(len(big))).Each(t.Context(), spans, 3, func(int, io.Reader) error {
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(time.Millisecond)
			now.Add(-1)
			return nil // nothing is read: that is skipped
		}))
		// None has been asked for anything, so no other had a reason to start.
		if most.Load() != 1 {
			t.Errorf("%d at once", most.Load())
		}
		check(t, c.Object("x", int64(len(big))).Each(t.Context(), spans, 3, func(_ int, r io.Reader) error {
			var one [1]byte // the rest is skipped
			_, err := r.Read(one[:])
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(time.Millisecond)
			now.Add(-1)
			return err
		}))
		if most.Load() != 3 {
			t.Errorf("%d at once: want 3", most.Load())
		}
	})
}

func TestALongRunIsSharedOutAndForOneIsOneRequest(t *testing.T) {
	const size = 20 << 20
	var spans []Span
	for at := int64(0); at < size; at += 64 << 10 {
		spans = append(spans, Span{at, at + 64<<10})
	}
	for parallel, want := range map[int]int{0: 1, 1: 1, 4: 16, 16: 20} {
		all := pieces(spans, parallel)
		if n := len(all); n < want || n > want+1 {
			t.Errorf("for %d: %d pieces: want %d", parallel, n, want)
		}
		next := 0
		for _, p := range all {
			if p.first != next {
				t.Fatalf("for %d: a piece begins with span %d: want %d", parallel, p.first, next)
			}
			next += len(p.spans)
		}
		if next != len(spans) {
			t.Errorf("for %d: %d spans: want %d", parallel, next, len(spans))
		}
	}
}

func TestEachEndsWithTheFirstError(t *testing.T) {
	enough := errors.New("enough")
	c := memory(t, func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	o := c.Object("x", int64(len(content)))
	spans := []Span{{0, 10}, {100_000, 100_010}, {200_000, 200_010}}
	var mu sync.Mutex
	taken := 0
	err := o.Each(t.Context(), spans, 1, func(n int, _ io.Reader) error {
		mu.Lock()
		defer mu.Unlock()
		if taken++; n == 1 {
			return enough
		}
		return nil
	})
	if err != enough || taken != 2 {
		t.Errorf("error %v after %d spans", err, taken)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	err = o.Each(ctx, spans, 2, func(_ int, r io.Reader) error {
		cancel(enough)
		_, err := io.ReadAll(r)
		return err
	})
	if !errors.Is(err, enough) {
		t.Errorf("error %v: want the cause of the end", err)
	}
}
