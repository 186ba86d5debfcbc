package oci

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// stream is a blob on its way from the registry. Where the connection breaks,
// it asks for the rest: a range (RFC 9110, section 14), or everything again,
// of which it passes over what it has.
type stream struct {
	ctx    context.Context
	cancel context.CancelFunc
	from   *repository
	blob   v1.Descriptor
	step   progress.Step
	whole  atomic.Bool // everything has been read

	offset   int64         // of what is read next
	body     io.ReadCloser // nil while there is no connection
	attempts fetch.Retry
	since    int64 // the offset when they were last counted anew
}

// stream opens a blob from an offset on. It never reads more than the blob's
// size.
func (r *repository) stream(ctx context.Context, d v1.Descriptor, offset int64) (io.ReadCloser, error) {
	if _, err := manifests.ParseDigest(d.Digest.String()); err != nil {
		return nil, err
	}
	reporter := progress.Silent()
	if d.MediaType.IsLayer() {
		reporter = r.Progress
	}
	s := &stream{from: r, blob: d, step: reporter.Step("pull "+d.Digest.Hex[:12], d.Size), offset: offset, attempts: r.Patience.Retry(), since: offset}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.step.Add(offset)
	if err := s.connect(); err != nil {
		s.cancel()
		s.step.Done(err)
		return nil, err
	}
	return s, nil
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if s.offset >= s.blob.Size {
		s.whole.Store(true)
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.blob.Size-s.offset)]
	for {
		if s.body == nil {
			if err := s.connect(); err != nil {
				return 0, err
			}
			continue // it may have broken at once
		}
		n, err := s.body.Read(p)
		s.offset += int64(n)
		s.step.Add(int64(n))
		if err == nil || err == io.EOF && s.offset == s.blob.Size {
			return n, nil
		}
		if err := s.broke(err); err != nil {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}

// broke gives up the connection and waits a little, unless it has broken too
// often while too little came.
func (s *stream) broke(err error) error {
	s.body.Close()
	s.body = nil
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // or a decoder would take it for the end
	}
	const enough = 1 << 20 // bytes that make up for a failure
	if s.offset-s.since > enough {
		s.attempts, s.since = s.from.Patience.Retry(), s.offset
	}
	return s.attempts.Again(s.ctx, fmt.Errorf("%w after %d of %d bytes: %w", errBroken, s.offset, s.blob.Size, err))
}

// connect asks for what is from offset on.
func (s *stream) connect() error {
	header := http.Header{}
	if s.offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", s.offset, s.blob.Size-1))
	}
	response, err := s.from.get(s.ctx, "blobs", s.blob.Digest.String(), header)
	if err != nil {
		return err
	}
	skip, err := s.check(response)
	if err != nil {
		response.Body.Close()
		return err
	}
	s.body = response.Body
	if _, err := io.CopyN(io.Discard, s.body, skip); err != nil {
		return s.broke(err)
	}
	return nil
}

// check looks at what the registry says of the body, and returns how many bytes
// of it to pass over.
func (s *stream) check(response *http.Response) (skip int64, err error) {
	rest := s.blob.Size - s.offset
	if response.StatusCode == http.StatusPartialContent {
		want := fmt.Sprintf("bytes %d-%d/", s.offset, s.blob.Size-1)
		if got := response.Header.Get("Content-Range"); len(got) < len(want) || got[:len(want)] != want {
			return 0, fmt.Errorf("the registry sends the range %.100q: want %s…", got, want)
		}
	} else {
		skip, rest = s.offset, s.blob.Size
	}
	if response.ContentLength >= 0 && response.ContentLength != rest {
		return 0, fmt.Errorf("the registry sends %d bytes: want %d", response.ContentLength, rest)
	}
	return skip, nil
}

// Close implements io.Closer. Another goroutine may be in the middle of a Read,
// which ends then; with the context, the connection ends, too.
func (s *stream) Close() error {
	s.cancel()
	if s.whole.Load() {
		s.step.Done(nil)
	} else {
		s.step.Done(errBroken)
	}
	return nil
}
