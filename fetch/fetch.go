// Package fetch downloads files over HTTP: of one repository, parts of a file as
// a stream (Object.Ranges) or by several requests at once (Object.Each), and whole
// files (Client.File); from anywhere, whole files that are kept over attempts
// (Web.File) or small ones (Web.Get). It retries with growing pauses, goes on
// where a connection broke, and gives up on servers that are too slow, endless
// or lying about lengths.
//
// It adds no trust: whoever uses the bytes checks them. Only the two of File
// check a digest, that of the file they leave behind.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Config is what a Client needs.
type Config struct {
	// Base is the repository's URL: http, https, or of one of Schemes. Required.
	Base string
	// UserAgent names the program. Optional.
	UserAgent string
	// Patience is optional. For a Client, a Longest of 0 means a minute.
	Patience Patience
	// Connections is how many to one host are kept, and may be open at once for
	// a Web; 0 means 2.
	Connections int
	// Proxy is the URL of a Client's proxy; "" means what the environment says
	// (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), ProxyNone none. See CheckProxy.
	Proxy string
	// Limit is how fast all bodies of a Client may come. Nil means at any rate.
	Limit *Limiter
	// Schemes are other kinds of repositories, by the scheme of their URLs: each
	// makes what answers every request of a Client with such a Base, over the
	// pool of connections if it needs one. A file of the repository is asked for
	// as the path that is joined to Base. Optional.
	Schemes map[string]func(pool http.RoundTripper) http.RoundTripper
}

// Client downloads from one repository.
type Client struct {
	config Config
	base   *url.URL
	http   *http.Client
	pool   *http.Transport
	meter  *meter
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
	if err != nil || !config.knows(base) {
		return nil, fmt.Errorf("repository %q: want a URL that starts with http:// or https://", config.Base)
	}
	if base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("repository %q: want a URL without ? and #", config.Base)
	}
	config.Connections = cmp.Or(config.Connections, 2)
	config.Patience.Longest = cmp.Or(config.Patience.Longest, time.Minute)
	pool, err := config.pool()
	if err != nil {
		return nil, err
	}
	var trips http.RoundTripper = pool
	if scheme := config.Schemes[base.Scheme]; scheme != nil {
		trips = scheme(pool)
	}
	metered := &meter{next: Paced(trips, config.Patience), limit: config.Limit}
	return &Client{config: config, base: base, http: newHTTP(metered), pool: pool, meter: metered}, nil
}

func (c Config) knows(base *url.URL) bool {
	if base.Scheme == "http" || base.Scheme == "https" {
		return base.Host != ""
	}
	return c.Schemes[base.Scheme] != nil
}

// HTTP is the client's connection pool with its limits, for other users of the
// same repository.
func (c *Client) HTTP() *http.Client { return c.http }

// Received is the bytes of all bodies so far, also of those that HTTP's users
// read.
func (c *Client) Received() int64 { return c.meter.received.Load() }

// Close closes the connections that are not in use.
func (c *Client) Close() { c.pool.CloseIdleConnections() }

func (c *Client) url(path string) string { return c.base.JoinPath(path).String() }

func (c *Client) request(ctx context.Context, path string) (*http.Request, error) {
	return c.config.request(ctx, c.url(path))
}

func (c Config) request(ctx context.Context, url string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, permanent(err)
	}
	request.Header.Set("Accept-Encoding", "identity")
	if c.UserAgent != "" {
		request.Header.Set("User-Agent", c.UserAgent)
	}
	return request, nil
}

// name is the URL for people: without a password.
func (c *Client) name(path string) string { return c.base.JoinPath(path).Redacted() }

func (c *Client) failure(ctx context.Context, path string, err error) error {
	return failure(ctx, c.name(path), err)
}

// failure is err as the package's users see it; a cancelled context stays
// recognisable.
func failure(ctx context.Context, address string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// The URL is in our own text already.
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &Error{URL: address, Err: err}
}
