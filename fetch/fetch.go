// Package fetch downloads files over HTTP: of one repository, ranges as a
// stream (Client.Range) and whole files (Client.File); from anywhere, whole
// files that are kept over attempts (Web.File) or small ones (Web.Get). It
// retries with growing pauses, goes on where a connection broke, and gives up
// on servers that are too slow, endless or lying about lengths.
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
)

// Config is what a Client needs.
type Config struct {
	// Base is the repository's URL: http, https, or of one of Schemes. Required.
	Base string
	// UserAgent names the program. Optional.
	UserAgent string
	// Patience is optional.
	Patience Patience
	// Connections is how many to one host are kept, and may be open at once for
	// a Web; 0 means 2.
	Connections int
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
	transport := Transport(config.Patience, config.Connections)
	transport.MaxIdleConns = max(2, config.Connections)
	var trips http.RoundTripper = transport
	if scheme := config.Schemes[base.Scheme]; scheme != nil {
		trips = scheme(transport)
	}
	return &Client{config: config, base: base, http: newHTTP(config, trips)}, nil
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

func (c *Client) failure(ctx context.Context, path string, err error) error {
	return failure(ctx, c.url(path), err)
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
