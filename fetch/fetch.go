// Package fetch downloads a repository's files over HTTP: ranges as a stream
// (Client.Range) and whole files (Client.File). It retries with growing
// pauses, goes on where a connection broke, and gives up on servers that are
// too slow, endless or lying about lengths.
//
// It adds no trust: whoever uses the bytes checks them. Only File checks a
// digest, that of the file it leaves behind.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config is what a Client needs.
type Config struct {
	// Base is the repository's URL, http or https. Required.
	Base string
	// UserAgent names the program. Optional.
	UserAgent string
	// MinimumRate is the bytes per second below which a server is too slow,
	// measured over Window of waiting for it. 0 means 4096.
	MinimumRate int64
	// Window is 10 s when 0.
	Window time.Duration
	// Attempts is how often in a row something may fail; 0 means 4.
	Attempts int
	// Pause is the first pause between attempts, which doubles each time; 0
	// means half a second.
	Pause time.Duration
}

// Client downloads from one repository.
type Client struct {
	config Config
	base   *url.URL
	http   *http.Client
}

// Error is a download that did not come about: the network, the server or its
// answer. It never stands for content that failed a check.
type Error struct {
	URL string
	Err error
}

// Error says what was fetched and why it failed.
func (e *Error) Error() string { return fmt.Sprintf("fetching %s: %v", e.URL, e.Err) }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// New checks the configuration; it opens no connection.
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.Base)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("repository %q: want a URL that starts with http:// or https://", config.Base)
	}
	if base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("repository %q: want a URL without ? and #", config.Base)
	}
	if config.MinimumRate == 0 {
		config.MinimumRate = 4096
	}
	if config.Window == 0 {
		config.Window = 10 * time.Second
	}
	if config.Attempts == 0 {
		config.Attempts = 4
	}
	if config.Pause == 0 {
		config.Pause = 500 * time.Millisecond
	}
	return &Client{config: config, base: base, http: newHTTP(config)}, nil
}

func newHTTP(config Config) *http.Client {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  config.Window,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConns:           2,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         128 << 10,
		DisableCompression:     true, // sizes are those of the file, never of an encoding
	}
	return &http.Client{
		Transport:     &pacer{next: transport, rate: config.MinimumRate, window: config.Window},
		CheckRedirect: checkRedirect,
	}
}

func checkRedirect(request *http.Request, via []*http.Request) error {
	const most = 5
	if len(via) > most {
		return permanent(fmt.Errorf("more than %d redirects", most))
	}
	if via[0].URL.Scheme == "https" && request.URL.Scheme != "https" {
		return permanent(fmt.Errorf("redirect from https to %s", request.URL.Redacted()))
	}
	return nil
}

// HTTP is the client's connection pool with its limits, for other users of the
// same repository.
func (c *Client) HTTP() *http.Client { return c.http }

func (c *Client) url(path string) string { return c.base.JoinPath(path).String() }

func (c *Client) request(ctx context.Context, path string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(path), nil)
	if err != nil {
		return nil, permanent(err)
	}
	request.Header.Set("Accept-Encoding", "identity")
	if c.config.UserAgent != "" {
		request.Header.Set("User-Agent", c.config.UserAgent)
	}
	return request, nil
}

// permanentError is one that another attempt would only repeat.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

func permanent(err error) error { return permanentError{err} }

// checkStatus sorts the answers: 4xx will not change by asking again, 5xx may.
func checkStatus(response *http.Response, accepted ...int) error {
	for _, code := range accepted {
		if response.StatusCode == code {
			if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
				return permanent(fmt.Errorf("server sent content encoding %.40q that was not asked for", encoding))
			}
			return nil
		}
	}
	err := fmt.Errorf("server answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	switch response.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return err
	}
	if response.StatusCode >= 500 {
		return err
	}
	return permanent(err)
}

// retry is the state of a row of attempts.
type retry struct {
	left  int
	pause time.Duration
}

func (c *Client) newRetry() retry { return retry{c.config.Attempts, c.config.Pause} }

// again waits and reports whether to make another attempt after err.
func (r *retry) again(ctx context.Context, err error) bool {
	var final permanentError
	if r.left--; r.left <= 0 || errors.As(err, &final) || ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(r.pause)
	defer timer.Stop()
	r.pause *= 2
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// failure is err as the package's users see it; a cancelled context stays
// recognisable.
func (c *Client) failure(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// The URL is in our own text already.
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &Error{URL: c.url(path), Err: err}
}
