package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// front stands before the server of the repository. The first folder of a URL
// names the test that asks: requests are counted, and slowed down, by test.
type front struct {
	port    int
	server  *http.Server
	backend *httputil.ReverseProxy

	mu    sync.Mutex
	tests map[string]*traffic
}

// traffic is what one test's guest has asked for.
type traffic struct {
	mu       sync.Mutex
	rate     int64            // bytes a second; 0 is unlimited
	received map[string]int64 // body bytes sent, by path in the repository
}

// newFront starts a front on a free port of the loopback.
func newFront(backend *url.URL) (*front, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &front{
		port:    listener.Addr().(*net.TCPAddr).Port,
		backend: httputil.NewSingleHostReverseProxy(backend),
		tests:   map[string]*traffic{},
	}
	f.server = &http.Server{Handler: f}
	go f.server.Serve(listener)
	return f, nil
}

// url is where guests of the named test find the repository.
func (f *front) url(test string) string { return fmt.Sprintf("http://10.0.2.2:%d/%s", f.port, test) }

// traffic of the named test.
func (f *front) traffic(test string) *traffic {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tests[test] == nil {
		f.tests[test] = &traffic{received: map[string]int64{}}
	}
	return f.tests[test]
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	test, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	r.URL.Path = "/" + path
	f.backend.ServeHTTP(&meter{ResponseWriter: w, ctx: r.Context(), path: path, traffic: f.traffic(test)}, r)
}

// slowDown limits the rate from now on, also of responses under way.
func (t *traffic) slowDown(bytesPerSecond int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rate = bytesPerSecond
}

// artifacts is how many bytes of artifacts were sent; metadata does not count.
func (t *traffic) artifacts() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum int64
	for path, n := range t.received {
		if strings.HasPrefix(path, "artifacts/") {
			sum += n
		}
	}
	return sum
}

// meter counts and slows down one response.
type meter struct {
	http.ResponseWriter
	ctx     context.Context
	path    string
	traffic *traffic
}

func (m *meter) Write(p []byte) (int, error) {
	const piece = 16 << 10
	written := 0
	for len(p) > 0 {
		n, err := m.ResponseWriter.Write(p[:min(piece, len(p))])
		written += n
		m.traffic.mu.Lock()
		m.traffic.received[m.path] += int64(n)
		rate := m.traffic.rate
		m.traffic.mu.Unlock()
		if err != nil {
			return written, err
		}
		p = p[n:]
		if rate > 0 {
			select {
			case <-time.After(time.Duration(n) * time.Second / time.Duration(rate)):
			case <-m.ctx.Done():
				return written, m.ctx.Err()
			}
		}
	}
	return written, nil
}

// Unwrap lets the proxy flush.
func (m *meter) Unwrap() http.ResponseWriter { return m.ResponseWriter }
