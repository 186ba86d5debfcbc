package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Range streams the bytes from..to (to excluded) of a file that is total bytes
// long, as Object.Range does.
func (c *Client) Range(ctx context.Context, path string, total, from, to int64) io.ReadCloser {
	return c.Object(path, total).Range(ctx, from, to)
}

// stream gives the bytes of spans, by as many requests as it takes.
type stream struct {
	object  *Object
	ctx     context.Context
	spans   []Span // that are left; the first may have been begun
	refused error  // spans that make no sense
	opened  func() // called once, after the first answer; may be nil

	body     io.ReadCloser
	at, end  int64 // in the file: where the body is, and where it may end
	pass     bool  // the body is the whole file, which was not asked for
	retry    Retry
	failed   error // how the last connection ended; counted when more is wanted
	progress int64 // bytes since the attempts were last counted anew
}

// enough is the progress in bytes that makes earlier failures forgotten. A
// server that breaks off after every byte runs out of attempts.
const enough = 256 << 10

// Read reads no further than to the end of a span.
func (s *stream) Read(p []byte) (int, error) {
	switch {
	case s.refused != nil:
		return 0, s.refused
	case len(s.spans) == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	p = p[:min(int64(len(p)), s.spans[0].To-s.spans[0].From)]
	for {
		if s.failed != nil {
			if err := s.retry.Again(s.ctx, s.failed); err != nil {
				return 0, s.object.client.failure(s.ctx, s.object.path, err)
			}
		}
		n, err := s.read(p)
		if s.failed = err; err != nil {
			s.Close()
		}
		if n == 0 {
			continue
		}
		if s.spans[0].From += int64(n); s.spans[0].From == s.spans[0].To {
			s.spans = s.spans[1:]
		}
		if s.progress += int64(n); s.progress >= enough {
			s.begin()
		}
		return n, nil
	}
}

// begin makes earlier failures forgotten.
func (s *stream) begin() { s.progress, s.retry = 0, s.object.client.config.Patience.Retry() }

// read is one read from a connection, which it opens when there is none.
func (s *stream) read(p []byte) (int, error) {
	next := s.spans[0].From
	if s.body != nil && next >= s.end { // it has brought what it was to bring
		s.Close()
		s.begin()
	}
	if s.body == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	if next > s.at {
		skipped, err := io.CopyN(io.Discard, s.body, next-s.at)
		if s.at += skipped; err != nil {
			return 0, cutShort(err)
		}
	}
	n, err := s.body.Read(p)
	s.at += int64(n)
	if err == io.EOF && s.at >= s.end {
		err = nil
	}
	return n, cutShort(err)
}

func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s *stream) open() error {
	o := s.object
	request, err := o.client.request(s.ctx, o.path)
	if err != nil {
		return err
	}
	asked := Span{s.spans[0].From, s.spans[run(s.spans)-1].To}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", asked.From, asked.To-1))
	if tag := o.validator(); tag != "" {
		request.Header.Set("If-Range", tag)
	}
	response, err := o.client.http.Do(request)
	if err != nil {
		return err
	}
	comes, err := o.checkAnswer(response, asked)
	if err != nil {
		response.Body.Close()
		return err
	}
	s.body, s.at, s.end, s.pass = response.Body, comes.From, comes.To, comes != asked
	if s.pass {
		o.noteIgnoredRange()
	}
	if s.opened != nil {
		s.opened()
		s.opened = nil
	}
	return nil
}

// checkAnswer gives the span that the body stands for. It is the one asked for
// also when the answer is shorter: whoever breaks off early is asked again, but
// not for ever.
func (o *Object) checkAnswer(response *http.Response, asked Span) (Span, error) {
	if err := checkStatus(response, http.StatusOK, http.StatusPartialContent); err != nil {
		return Span{}, err
	}
	if err := o.sees(response); err != nil {
		return Span{}, err
	}
	if response.StatusCode == http.StatusOK {
		if n := response.ContentLength; n >= 0 && n != o.size {
			return Span{}, permanent(fmt.Errorf("server sends %d bytes: want %d", n, o.size))
		}
		return Span{0, o.size}, nil
	}
	header := response.Header.Get("Content-Range")
	first, last, total, err := parseContentRange(header)
	if err != nil {
		return Span{}, permanent(err)
	}
	if first != asked.From || last >= asked.To || total != -1 && total != o.size {
		return Span{}, permanent(fmt.Errorf("server sends range %.80q: want bytes %d-%d/%d", header, asked.From, asked.To-1, o.size))
	}
	if n := response.ContentLength; n >= 0 && n != last-first+1 {
		return Span{}, permanent(fmt.Errorf("server sends %d bytes for range %.80q", n, header))
	}
	return asked, nil
}

// Close ends the connection, if there is one.
func (s *stream) Close() error {
	if s.body == nil {
		return nil
	}
	body := s.body
	s.body = nil
	return body.Close()
}
