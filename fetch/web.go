package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/proa-os/proa/progress"
)

// Web downloads from any http or https URL.
type Web struct {
	config Config
	http   *http.Client
}

// NewWeb opens no connection. Of config, what is a Client's is not used.
func NewWeb(config Config) *Web {
	config.Connections = cmp.Or(config.Connections, 2)
	transport := Transport(config.Patience, config.Connections)
	transport.MaxConnsPerHost = config.Connections
	return &Web{config: config, http: newHTTP(Paced(transport, config.Patience))}
}

// Close closes the connections that are not in use.
func (w *Web) Close() { w.http.CloseIdleConnections() }

// Wanted is what a file must be.
type Wanted struct {
	Size     int64  // bytes
	Checksum string // "sha256:<hex>" or "sha512:<hex>"
}

func (w Wanted) check() (hash.Hash, []byte, error) {
	name, digits, _ := strings.Cut(w.Checksum, ":")
	sum, err := hex.DecodeString(digits)
	switch {
	case w.Size <= 0:
		return nil, nil, fmt.Errorf("size %d: want more than 0", w.Size)
	case err == nil && name == "sha256" && len(sum) == sha256.Size:
		return sha256.New(), sum, nil
	case err == nil && name == "sha512" && len(sum) == sha512.Size:
		return sha512.New(), sum, nil
	}
	return nil, nil, fmt.Errorf("checksum %.80q: want sha256: or sha512: and hex digits", w.Checksum)
}

// Get returns the file at url, which must have at most most bytes. The error
// wraps fs.ErrNotExist when the server has no such file.
func (w *Web) Get(ctx context.Context, url string, most int64) ([]byte, error) {
	for attempts := w.config.Patience.Retry(); ; {
		data, err := w.get(ctx, url, most)
		if err == nil {
			return data, nil
		}
		if err := attempts.Again(ctx, err); err != nil {
			return nil, failure(ctx, url, err)
		}
	}
}

func (w *Web) get(ctx context.Context, url string, most int64) ([]byte, error) {
	request, err := w.config.request(ctx, url)
	if err != nil {
		return nil, err
	}
	response, err := w.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if err := checkStatus(response, http.StatusOK); err != nil {
		return nil, err
	}
	if response.ContentLength > most {
		return nil, permanent(fmt.Errorf("server sends %d bytes: want at most %d", response.ContentLength, most))
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err == nil && int64(len(data)) > most {
		err = permanent(fmt.Errorf("server sends more than %d bytes", most))
	}
	return data, err
}

// File downloads a whole file to target. It goes on behind what is there, from
// whatever earlier attempt, and begins anew, once, if the outcome is not what is
// wanted. It returns nil only when the file has the size and checksum wanted.
// Otherwise what has come is left there, unless it is known to be wrong. Step
// is told of the bytes that are there.
func (w *Web) File(ctx context.Context, url string, want Wanted, target string, step progress.Step) error {
	check, sum, err := want.check()
	if err != nil {
		return fmt.Errorf("fetching %s: %w", url, err)
	}
	d := download{transfer: transfer{url: url, target: target, size: want.Size, check: check, sum: sum}, web: w, told: told{step: step}}
	anew := false
	most := int64(0) // that have been there after a failure, and made it forgotten
	for attempts := w.config.Patience.Retry(); ; {
		err := d.run(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errNoResume):
			d.noResume = true
			continue
		case errors.Is(err, ErrContent) && !anew:
			anew = true
			continue
		case errors.Is(err, ErrContent):
			return fmt.Errorf("fetching %s: %w", url, err)
		case errors.Is(err, syscall.ENOSPC):
			os.Remove(target)
		}
		if have := d.have(); have-most >= enough {
			most, attempts = have, w.config.Patience.Retry()
		}
		if err := attempts.Again(ctx, err); err != nil {
			return failure(ctx, url, err)
		}
	}
}

// errNoResume is the answer of a server that does not go on where it is asked
// to.
var errNoResume = errors.New("server does not go on where it was")

// download is one Web.File.
type download struct {
	transfer
	web  *Web
	told told

	noResume bool // the server does not
}

// have is the bytes in the target.
func (d *download) have() int64 {
	info, err := os.Stat(d.target)
	if err != nil {
		return 0
	}
	return info.Size()
}

// run is one attempt.
func (d *download) run(ctx context.Context) error {
	if have := d.have(); have > d.size || have < d.size && d.noResume {
		if err := os.Remove(d.target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return permanent(err)
		}
	}
	return d.transfer.run(ctx, d.web.config, d)
}

// Do implements grab.HTTPClient. What grab wants to know before it goes on
// where a file ends, its HEAD request, is known here: that is tried, and the
// answer is checked, which grab does not do.
func (d *download) Do(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodHead {
		return &http.Response{
			StatusCode: http.StatusOK, Request: request, Body: http.NoBody, ContentLength: d.size,
			Header: http.Header{"Accept-Ranges": {"bytes"}},
		}, nil
	}
	response, err := d.web.http.Do(request)
	if err != nil {
		return nil, err
	}
	from, err := d.checkAnswer(request, response)
	if err != nil {
		response.Body.Close()
		return nil, err
	}
	d.told.at = from
	d.told.tell()
	response.Body = &exactBody{&toldBody{response.Body, &d.told}, d.size - from}
	return response, nil
}

// checkAnswer gives the offset at which the body begins.
func (d *download) checkAnswer(request *http.Request, response *http.Response) (int64, error) {
	if request.Header.Get("Range") == "" || d.have() == 0 && response.StatusCode == http.StatusOK {
		return 0, checkStatus(response, http.StatusOK)
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusRequestedRangeNotSatisfiable:
		return 0, errNoResume
	}
	if err := checkStatus(response, http.StatusPartialContent); err != nil {
		return 0, err
	}
	first, last, total, err := parseContentRange(response.Header.Get("Content-Range"))
	if err != nil || first != d.have() || last != d.size-1 || total != -1 && total != d.size {
		return 0, errNoResume
	}
	return first, nil
}

// told reports bytes to step, and those that come a second time once.
type told struct {
	step       progress.Step
	at, before int64
}

func (t *told) tell() {
	if t.at > t.before {
		t.step.Add(t.at - t.before)
		t.before = t.at
	}
}

type toldBody struct {
	io.ReadCloser
	told *told
}

func (b *toldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.told.at += int64(n)
	b.told.tell()
	return n, err
}
