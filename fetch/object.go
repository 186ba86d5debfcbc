package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// ErrChanged is wrapped by the error of a file that the server replaced while it
// was being read.
var ErrChanged = errors.New("file changed during the download")

// Span is the bytes From..To (To excluded) of a file.
type Span struct{ From, To int64 }

// bridge is the longest gap in bytes between two spans that one request brings
// along. Another request takes some 700 bytes of headers and a round trip, and those
// who charge for transfer charge as much for it as for about 4 KiB.
const bridge = 4 << 10

// Object is one file of the repository for the length of one run. Its streams
// share what the server has shown of it: by its ETag they notice that it is
// replaced by another, and a server that ignores ranges is read in one pass.
type Object struct {
	client *Client
	path   string
	size   int64

	mu    sync.Mutex
	tag   string // the first strong ETag
	whole bool   // the server has ignored a range
}

// Object is the file at path, which is size bytes long. It asks for nothing.
func (c *Client) Object(path string, size int64) *Object {
	return &Object{client: c, path: path, size: size}
}

// Range streams the bytes from..to (to excluded). The stream reconnects by
// itself and goes on where it was; a server that ignores ranges is read past the
// start. Errors of the reader are *Error, or the cause of a cancelled ctx.
func (o *Object) Range(ctx context.Context, from, to int64) io.ReadCloser {
	return o.stream(ctx, []Span{{from, to}})
}

// Ranges streams the bytes of the spans one after another. They must ascend and
// not overlap. Those that are next to each other, or nearly so, come with one
// request; a server that ignores ranges is read once for all of them. Otherwise
// it is as Range.
func (o *Object) Ranges(ctx context.Context, spans []Span) io.ReadCloser {
	s := o.stream(ctx, append([]Span(nil), spans...))
	if err := o.check(spans); err != nil {
		s.spans, s.refused = nil, err
	}
	return s
}

func (o *Object) stream(ctx context.Context, spans []Span) *stream {
	s := &stream{object: o, ctx: ctx, spans: spans}
	s.begin()
	return s
}

// check is nil for spans that ascend within the file.
func (o *Object) check(spans []Span) error {
	end := int64(0)
	for _, s := range spans {
		if s.From < end || s.To <= s.From || s.To > o.size {
			return fmt.Errorf("bytes %d-%d of %s: want some from %d on and within %d", s.From, s.To, o.path, end, o.size)
		}
		end = s.To
	}
	return nil
}

// run is how many of the spans come with one request.
func run(spans []Span) int {
	n := 1
	for n < len(spans) && spans[n].From-spans[n-1].To <= bridge {
		n++
	}
	return n
}

// validator is for If-Range; empty if the server gave none.
func (o *Object) validator() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tag
}

// sees notes what an answer shows of the file.
func (o *Object) sees(response *http.Response) error {
	tag := response.Header.Get("ETag")
	if !strings.HasPrefix(tag, `"`) {
		return nil // none, or a weak one
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tag == "" {
		o.tag = tag
	}
	if tag != o.tag {
		return fmt.Errorf("%w: its ETag was %.40q and is %.40q", ErrChanged, o.tag, tag)
	}
	return nil
}

func (o *Object) ignoresRanges() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.whole
}

func (o *Object) noteIgnoredRange() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.whole = true
}
