package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Patience is how much a registry may try it. The zero value is right for
// most.
type Patience struct {
	// MinimumRate is the bytes per second below which a registry is too slow,
	// measured over Window of waiting for it. 0 means 4096.
	MinimumRate int64
	// Window is 10 s when 0.
	Window time.Duration
	// Attempts is how often in a row something may fail; 0 means 5.
	Attempts int
	// Pause is the first pause between attempts, which doubles each time; 0
	// means half a second.
	Pause time.Duration
	// Longest is the longest pause that a registry may ask for; 0 means a
	// minute.
	Longest time.Duration
}

func (p Patience) orDefaults() Patience {
	if p.MinimumRate == 0 {
		p.MinimumRate = 4096
	}
	if p.Window == 0 {
		p.Window = 10 * time.Second
	}
	if p.Attempts == 0 {
		p.Attempts = 5
	}
	if p.Pause == 0 {
		p.Pause = 500 * time.Millisecond
	}
	if p.Longest == 0 {
		p.Longest = time.Minute
	}
	return p
}

// patient asks again where the answer may be another the next time.
type patient struct {
	next http.RoundTripper
	Patience
}

// RoundTrip implements http.RoundTripper.
func (p *patient) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	pause := p.Pause
	for attempt := 1; ; attempt++ {
		response, err := p.next.RoundTrip(request)
		wait, again := p.wait(response, err, pause)
		if !again || attempt >= p.Attempts || request.Body != nil && request.GetBody == nil {
			return response, err
		}
		if response != nil {
			response.Body.Close()
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		if request.GetBody != nil {
			if request.Body, err = request.GetBody(); err != nil {
				return nil, err
			}
		}
		pause *= 2
	}
}

// wait is how long to wait before the next attempt, if there is to be one.
func (p *patient) wait(response *http.Response, err error, pause time.Duration) (time.Duration, bool) {
	if err != nil {
		return pause, isTransient(err)
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		asked, ok := retryAfter(response.Header.Get("Retry-After"))
		if !ok {
			return pause, true
		}
		return max(asked, pause), asked <= p.Longest
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return pause, true
	}
	return 0, false
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(s string) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if date, err := http.ParseTime(s); err == nil {
		return max(0, time.Until(date)), true
	}
	return 0, false
}

// isTransient reports whether the network failed in a way that may pass.
func isTransient(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	for _, known := range []error{errTooSlow, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, known) {
			return true
		}
	}
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// pacer ends a response whose body comes in too slowly. Only the time spent
// waiting for the registry counts.
type pacer struct {
	next http.RoundTripper
	Patience
}

// RoundTrip implements http.RoundTripper.
func (p *pacer) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	response, err := p.next.RoundTrip(request.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	body := &pacedBody{ReadCloser: response.Body, ctx: ctx, cancel: cancel, pacer: p}
	body.timer = time.AfterFunc(p.Window, func() { cancel(p.tooSlow()) })
	body.timer.Stop()
	response.Body = body
	return response, nil
}

var errTooSlow = errors.New("too slow")

func (p *pacer) tooSlow() error {
	return fmt.Errorf("the registry is %w: fewer than %d bytes in %s", errTooSlow, p.least(), p.Window)
}

// least is the bytes that a whole window must bring.
func (p *pacer) least() int64 { return int64(float64(p.MinimumRate) * p.Window.Seconds()) }

type pacedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	pacer  *pacer
	timer  *time.Timer

	waited time.Duration // in this window
	got    int64         // in this window
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	start := time.Now()
	b.timer.Reset(max(0, b.pacer.Window-b.waited) + time.Millisecond)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.waited += time.Since(start)
	b.got += int64(n)
	if err != nil && err != io.EOF {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
		return n, err
	}
	if b.waited >= b.pacer.Window {
		if b.got < b.pacer.least() && err == nil {
			return n, b.pacer.tooSlow()
		}
		b.waited, b.got = 0, 0
	}
	return n, err
}

// Close implements io.Closer.
func (b *pacedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
