package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ErrTooSlow is wrapped by the error of a server that is too slow.
var ErrTooSlow = errors.New("too slow")

// Paced ends a response whose body comes in more slowly than at
// patience.MinimumRate. Only the time spent waiting for the server counts, so a
// slow disk on this side is not the server's fault.
func Paced(next http.RoundTripper, patience Patience) http.RoundTripper {
	patience = patience.withDefaults()
	return &pacer{next, patience.MinimumRate, patience.Window}
}

type pacer struct {
	next   http.RoundTripper
	rate   int64 // bytes per second
	window time.Duration
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
	body.timer = time.AfterFunc(p.window, func() { cancel(p.tooSlow()) })
	body.timer.Stop()
	response.Body = body
	return response, nil
}

// CloseIdleConnections is what http.Client looks for.
func (p *pacer) CloseIdleConnections() {
	if pool, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		pool.CloseIdleConnections()
	}
}

func (p *pacer) tooSlow() error {
	return fmt.Errorf("server is %w: fewer than %d bytes in %s", ErrTooSlow, p.least(), p.window)
}

// least is the bytes that a whole window must bring.
func (p *pacer) least() int64 { return int64(float64(p.rate) * p.window.Seconds()) }

type pacedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	pacer  *pacer
	timer  *time.Timer

	waited time.Duration // in this window
	got    int64         // in this window
}

func (b *pacedBody) Read(p []byte) (int, error) {
	start := time.Now()
	b.timer.Reset(b.pacer.window - b.waited + time.Millisecond)
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
	if b.waited >= b.pacer.window {
		if b.got < b.pacer.least() && err == nil {
			return n, b.pacer.tooSlow()
		}
		b.waited, b.got = 0, 0
	}
	return n, err
}

func (b *pacedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
