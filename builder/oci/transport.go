package oci

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/proa-os/proa/fetch"
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
	if request.URL.Scheme != "https" && !onThisMachine(request.URL.Hostname()) {
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

func onThisMachine(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// isPrivate reports whether a host is one that only those inside can reach, as
// far as its name says so.
func isPrivate(host string) bool {
	host, _, _ = strings.Cut(host, "%") // the zone of an IPv6 address
	ip := net.ParseIP(host)
	return onThisMachine(host) || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()
}

// checkRedirect allows what registries do: to send on to where their blobs
// are. Credentials never go along: they are added below, for the registry's
// own host alone.
func checkRedirect(request *http.Request, via []*http.Request) error {
	if err := fetch.CheckRedirect(request, via); err != nil {
		return err
	}
	from, to := via[0].URL, request.URL
	if isPrivate(to.Hostname()) && !isPrivate(from.Hostname()) {
		return fmt.Errorf("redirect from %s into a private network, %s", from.Host, to.Host)
	}
	return nil
}
