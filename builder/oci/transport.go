package oci

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/registry"
)

// newTransport is what go-containerregistry's authentication is put upon.
func newTransport(p fetch.Patience, userAgent string) *guard {
	pool := fetch.Transport(p, atOnce)
	pool.ForceAttemptHTTP2 = true
	return &guard{next: &patient{fetch.Paced(pool, p), p}, pool: pool, userAgent: userAgent}
}

// guard sees every request, also those for tokens and after redirects.
type guard struct {
	next      http.RoundTripper
	pool      *http.Transport
	userAgent string
	// greeting is set while the registry is greeted: go-containerregistry reads
	// that answer to its end, however long it is.
	greeting atomic.Bool
}

const maxGreeting = 64 << 10

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" && !registry.OnThisMachine(request.URL.Hostname()) {
		return nil, fmt.Errorf("%s://%s: want https, except for registries on this machine", request.URL.Scheme, request.URL.Host)
	}
	if g.userAgent != "" {
		request = request.Clone(request.Context())
		request.Header.Set("User-Agent", g.userAgent)
	}
	response, err := g.next.RoundTrip(request)
	if err == nil && g.greeting.Load() {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxGreeting), response.Body}
	}
	return response, err
}
