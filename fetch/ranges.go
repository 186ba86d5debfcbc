package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Range streams the bytes from..to (to excluded) of a file that is total bytes
// long. The stream reconnects by itself and goes on where it was; a server
// that ignores ranges is read past the start. Errors of the reader are *Error,
// or the cause of a cancelled ctx.
func (c *Client) Range(ctx context.Context, path string, total, from, to int64) io.ReadCloser {
	return &stream{client: c, ctx: ctx, path: path, total: total, next: from, end: to, retry: c.config.Patience.Retry()}
}

type stream struct {
	client    *Client
	ctx       context.Context
	path      string
	total     int64
	next, end int64

	body      io.ReadCloser
	validator string // a strong ETag
	retry     Retry
	failed    error // how the last connection ended; counted when more is wanted
	progress  int64 // bytes since the attempts were last counted anew
}

// enough is the progress in bytes that makes earlier failures forgotten. A
// server that breaks off after every byte runs out of attempts.
const enough = 256 << 10

func (s *stream) Read(p []byte) (int, error) {
	if s.next >= s.end {
		return 0, io.EOF
	}
	if left := s.end - s.next; int64(len(p)) > left {
		p = p[:left]
	}
	for {
		if s.failed != nil {
			if err := s.retry.Again(s.ctx, s.failed); err != nil {
				return 0, s.client.failure(s.ctx, s.path, err)
			}
		}
		n, err := s.read(p)
		if s.failed = err; err != nil {
			s.Close()
		}
		if n == 0 {
			continue
		}
		s.next += int64(n)
		if s.progress += int64(n); s.progress >= enough {
			s.progress, s.retry = 0, s.client.config.Patience.Retry()
		}
		return n, nil
	}
}

// read is one read from a connection, which it opens when there is none.
func (s *stream) read(p []byte) (int, error) {
	if s.body == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	n, err := s.body.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (s *stream) open() error {
	request, err := s.client.request(s.ctx, s.path)
	if err != nil {
		return err
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", s.next, s.end-1))
	if s.validator != "" {
		request.Header.Set("If-Range", s.validator)
	}
	response, err := s.client.http.Do(request)
	if err != nil {
		return err
	}
	skip, err := s.check(response)
	if err == nil && skip > 0 {
		_, err = io.CopyN(io.Discard, response.Body, skip)
	}
	if err != nil {
		response.Body.Close()
		return err
	}
	if tag := response.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		s.validator = tag
	}
	s.body = response.Body
	return nil
}

// check gives the bytes to skip until the body is at s.next.
func (s *stream) check(response *http.Response) (skip int64, err error) {
	if err := checkStatus(response, http.StatusOK, http.StatusPartialContent); err != nil {
		return 0, err
	}
	if response.StatusCode == http.StatusOK {
		if n := response.ContentLength; n >= 0 && n != s.total {
			return 0, permanent(fmt.Errorf("server sends %d bytes: want %d", n, s.total))
		}
		return s.next, nil
	}
	header := response.Header.Get("Content-Range")
	first, last, total, err := parseContentRange(header)
	if err != nil {
		return 0, permanent(err)
	}
	if first != s.next || last >= s.end || total != -1 && total != s.total {
		return 0, permanent(fmt.Errorf("server sends range %.80q: want bytes %d-%d/%d", header, s.next, s.end-1, s.total))
	}
	if n := response.ContentLength; n >= 0 && n != last-first+1 {
		return 0, permanent(fmt.Errorf("server sends %d bytes for range %.80q", n, header))
	}
	return 0, nil
}

// parseContentRange reads "bytes first-last/total" (RFC 9110, section 14.4);
// a total of "*" is -1.
func parseContentRange(header string) (first, last, total int64, err error) {
	bad := fmt.Errorf("content range %.80q: want bytes first-last/total", header)
	rest, ok := strings.CutPrefix(header, "bytes ")
	span, length, ok2 := strings.Cut(rest, "/")
	a, b, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, bad
	}
	total = -1
	for _, field := range []struct {
		text string
		into *int64
	}{{a, &first}, {b, &last}, {length, &total}} {
		if field.into == &total && field.text == "*" {
			continue
		}
		n, err := strconv.ParseUint(field.text, 10, 63)
		if err != nil {
			return 0, 0, 0, bad
		}
		*field.into = int64(n)
	}
	if last < first || total != -1 && last >= total {
		return 0, 0, 0, bad
	}
	return first, last, total, nil
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
