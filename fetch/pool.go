package fetch

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// Transport is a connection pool that keeps connections to a host, and has
// limits.
func Transport(patience Patience, connections int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  patience.withDefaults().Window,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    connections,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         128 << 10,
		DisableCompression:     true, // sizes are those of the file, never of an encoding
	}
}

func newHTTP(config Config, trips http.RoundTripper) *http.Client {
	return &http.Client{Transport: Paced(trips, config.Patience), CheckRedirect: CheckRedirect}
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
