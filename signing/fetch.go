package signing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits bound what a server can make a host fetch and wait for. A zero field
// means its default.
type Limits struct {
	Root      int64 // bytes of one root; default 64 KiB
	Timestamp int64 // bytes; default 16 KiB
	Snapshot  int64 // bytes; default 64 KiB
	Targets   int64 // bytes of targets metadata; default 4 MiB
	Bin       int64 // bytes of a bin of it; default 1 MiB
	Target    int64 // bytes of one target; default 4 MiB
	Roots     int   // new roots in one Refresh; default 256

	// A file must have come in full within Grace plus its size at Rate, at
	// every moment of the transfer.
	Grace time.Duration // default 20 s
	Rate  int64         // bytes a second; default 4 KiB
}

// withDefaults replaces what is not positive: no value lifts a limit.
func (l Limits) withDefaults() Limits {
	for _, field := range []struct {
		value    *int64
		standard int64
	}{
		{&l.Root, 64 << 10},
		{&l.Timestamp, 16 << 10},
		{&l.Snapshot, 64 << 10},
		{&l.Targets, 4 << 20},
		{&l.Bin, 1 << 20},
		{&l.Target, 4 << 20},
		{&l.Rate, 4 << 10},
	} {
		if *field.value <= 0 {
			*field.value = field.standard
		}
	}
	if l.Roots <= 0 {
		l.Roots = 256
	}
	if l.Grace <= 0 {
		l.Grace = 20 * time.Second
	}
	return l
}

// fetcher gets small files over HTTP, within bounds of size and time.
type fetcher struct {
	base   *url.URL // ends in "/"
	client http.Client
	limits Limits
}

// errNoFile is the answer 404 or 403, which object stores give for a file that
// is not there. It is also ErrUnavailable.
var errNoFile = fmt.Errorf("%w: the server has no such file", ErrUnavailable)

const redirectsMost = 5

func newFetcher(base string, client *http.Client, limits Limits) (*fetcher, error) {
	parsed, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("repository URL: %w", err)
	}
	known := client != nil && parsed.Scheme != "" // which a client of the caller's may know
	if parsed.Scheme == "http" || parsed.Scheme == "https" {
		known = parsed.Host != ""
	}
	if !known || parsed.RawQuery != "" || parsed.Fragment != "" {
		return nil, fmt.Errorf("repository URL %.200q: want http:// or https://, a host and a path", base)
	}
	f := &fetcher{base: parsed.JoinPath("/"), limits: limits}
	if client != nil {
		f.client = *client
	}
	f.client.CheckRedirect = checkRedirect
	return f, nil
}

func checkRedirect(next *http.Request, before []*http.Request) error {
	switch last := before[len(before)-1]; {
	case len(before) > redirectsMost:
		return fmt.Errorf("more than %d redirects", redirectsMost)
	case last.URL.Scheme == "https" && next.URL.Scheme != "https":
		return fmt.Errorf("redirect from https to %s", next.URL.Scheme)
	}
	return nil
}

// get fetches the file at path, relative to the base, of at most most bytes.
func (f *fetcher) get(ctx context.Context, path string, most int64) ([]byte, error) {
	address := f.base.JoinPath(strings.Split(path, "/")...).String()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	started := time.Now()
	tooSlow := time.AfterFunc(f.limits.Grace, func() {
		cancel(fmt.Errorf("%w: under %d bytes a second", ErrTooSlow, f.limits.Rate))
	})
	defer tooSlow.Stop()

	data, err := f.read(ctx, address, most, func(received int64) {
		earned := time.Duration(float64(received) / float64(f.limits.Rate) * float64(time.Second))
		tooSlow.Reset(time.Until(started.Add(f.limits.Grace + earned)))
	})
	if err != nil {
		// The transport reports the bare cancellation; the cause says why.
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("fetching %s: %w", address, err)
	}
	return data, nil
}

func (f *fetcher) read(ctx context.Context, address string, most int64, received func(int64)) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	// An answer that expands as it is read could not be bounded by its length.
	request.Header.Set("Accept-Encoding", "identity")
	answer, err := f.client.Do(request)
	if err != nil {
		var detail *url.Error // would repeat the address
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer answer.Body.Close()
	switch encoding := answer.Header.Get("Content-Encoding"); {
	case answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%w (%s)", errNoFile, answer.Status)
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: the server answers %s", ErrUnavailable, answer.Status)
	case encoding != "" && encoding != "identity":
		return nil, fmt.Errorf("%w: content encoding %.40q was not asked for", ErrUnavailable, encoding)
	case answer.ContentLength > most:
		return nil, fmt.Errorf("%w: %d bytes announced, at most %d wanted", ErrTooLarge, answer.ContentLength, most)
	}
	return readAtMost(answer.Body, most, received)
}

// readAtMost reads in to its end, which must come within most bytes. It does
// not allocate for bytes that have not come.
func readAtMost(in io.Reader, most int64, received func(int64)) ([]byte, error) {
	var data []byte
	piece := make([]byte, 16<<10)
	for {
		n, err := in.Read(piece)
		data = append(data, piece[:n]...)
		if int64(len(data)) > most {
			return nil, fmt.Errorf("%w: over %d bytes", ErrTooLarge, most)
		}
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		received(int64(len(data)))
	}
}
