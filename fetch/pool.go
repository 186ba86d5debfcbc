package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Transport is a connection pool that keeps connections to a host, and has
// limits.
func Transport(patience Patience, connections int) *http.Transport {
	window := patience.withDefaults().Window
	connecting := min(window, 10*time.Second)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connecting}).DialContext,
		TLSHandshakeTimeout:    connecting,
		ResponseHeaderTimeout:  window,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    connections,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         128 << 10,
		DisableCompression:     true, // sizes are those of the file, never of an encoding
	}
}

// pool is the connections of a Client.
func (c Config) pool() (*http.Transport, error) {
	pool := Transport(c.Patience, c.Connections)
	pool.MaxIdleConns = max(2, c.Connections)
	switch c.Proxy {
	case "":
	case ProxyNone:
		pool.Proxy = nil
	default:
		if err := CheckProxy(c.Proxy); err != nil {
			return nil, err
		}
		proxy, _ := url.Parse(c.Proxy)
		pool.Proxy = http.ProxyURL(proxy)
	}
	// All streams share one connection where the server speaks HTTP/2. One that is
	// dead must be noticed while there are attempts left, for the pool would give
	// it to each of them; and what it brings unasked must be bounded.
	window := c.Patience.withDefaults().Window
	pool.ForceAttemptHTTP2 = true
	pool.HTTP2 = &http.HTTP2Config{SendPingTimeout: window / 2, PingTimeout: window / 2, MaxReceiveBufferPerStream: 1 << 20}
	return pool, nil
}

// ProxyNone is the proxy of those who want none, whatever the environment says.
const ProxyNone = "none"

// CheckProxy is nil for the URL of a proxy: http, https or socks5, with a user and
// password if it asks for them.
func CheckProxy(proxy string) error {
	u, err := url.Parse(proxy)
	known := err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "socks5")
	if !known || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("proxy: want a URL such as http://proxy.example.org:3128 (http, https or socks5)")
	}
	return nil
}

func newHTTP(trips http.RoundTripper) *http.Client {
	return &http.Client{Transport: trips, CheckRedirect: CheckRedirect}
}

// CheckRedirect is for http.Client: it refuses many redirects, and those from
// https to anything else.
func CheckRedirect(request *http.Request, via []*http.Request) error {
	const most = 5
	if len(via) > most {
		return permanent(fmt.Errorf("more than %d redirects", most))
	}
	if via[0].URL.Scheme == "https" && request.URL.Scheme != "https" {
		return permanent(fmt.Errorf("redirect from https to %.20q", request.URL.Scheme))
	}
	return nil
}
