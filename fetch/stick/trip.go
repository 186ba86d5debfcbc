package stick

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
)

// RoundTrip implements http.RoundTripper for requests under URL: GET and HEAD,
// with one range of bytes if need be.
func (s *Stick) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		request.Body.Close()
	}
	if err := request.Context().Err(); err != nil {
		return nil, err
	}
	name, ok := strings.CutPrefix(request.URL.Path, strings.TrimSuffix(s.path, "/")+"/")
	switch {
	case request.Method != http.MethodGet && request.Method != http.MethodHead:
		return answer(request, http.StatusMethodNotAllowed), nil
	case !ok:
		return answer(request, http.StatusNotFound), nil
	}
	f, err := s.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return answer(request, http.StatusNotFound), nil
	}
	if err != nil {
		return nil, err
	}
	return serve(request, f), nil
}

func answer(request *http.Request, status int) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: request,
	}
}

// serve answers with the file, which the body closes.
func serve(request *http.Request, f *File) *http.Response {
	first, length, ok := wanted(request.Header, f)
	if !ok {
		f.Close()
		response := answer(request, http.StatusRequestedRangeNotSatisfiable)
		response.Header.Set("Content-Range", fmt.Sprintf("bytes */%d", f.Size()))
		return response
	}
	response := answer(request, http.StatusOK)
	if length < f.Size() {
		response = answer(request, http.StatusPartialContent)
		response.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+length-1, f.Size()))
	}
	response.Header.Set("Accept-Ranges", "bytes")
	response.Header.Set("ETag", f.tag)
	response.Header.Set("Content-Length", strconv.FormatInt(length, 10))
	response.ContentLength = length
	if request.Method == http.MethodHead {
		f.Close()
		return response
	}
	response.Body = &body{request.Context(), io.NewSectionReader(f, first, length), f}
	return response
}

// wanted is the part of the file that is asked for (RFC 9110, section 14.2): all
// of it unless there is one range that is understood, of the file as it is.
func wanted(header http.Header, f *File) (first, length int64, ok bool) {
	span, isRange := strings.CutPrefix(header.Get("Range"), "bytes=")
	if condition := header.Get("If-Range"); !isRange || condition != "" && condition != f.tag {
		return 0, f.Size(), true
	}
	from, to, _ := strings.Cut(span, "-")
	begin, err := strconv.ParseUint(from, 10, 62)
	if err != nil {
		return 0, f.Size(), true
	}
	last := uint64(f.Size()) - 1
	if to != "" {
		end, err := strconv.ParseUint(to, 10, 62)
		if err != nil || end < begin {
			return 0, f.Size(), true
		}
		last = min(last, end)
	}
	if begin >= uint64(f.Size()) {
		return 0, 0, false
	}
	return int64(begin), int64(last - begin + 1), true
}

// body ends with the request's context.
type body struct {
	ctx context.Context
	io.Reader
	io.Closer
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}
