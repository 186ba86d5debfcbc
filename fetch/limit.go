package fetch

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limiter is a rate that all streams of all clients that share it keep to. Nil
// is no limit.
type Limiter struct {
	rate int64 // bytes per second

	mu   sync.Mutex
	paid time.Time // when the bytes that have come are paid for
}

// limitCredit is how long the limit may be unused and still be made up for.
const limitCredit = 100 * time.Millisecond

// NewLimiter is a limit of rate bytes per second, and none for 0.
func NewLimiter(rate int64) *Limiter {
	if rate <= 0 {
		return nil
	}
	return &Limiter{rate: rate}
}

// most is the bytes to read at once, so that many streams take turns.
func (l *Limiter) most() int64 {
	return min(64<<10, max(512, int64(float64(l.rate)*limitCredit.Seconds())))
}

// pay waits until n more bytes are within the limit.
func (l *Limiter) pay(ctx context.Context, n int64) error {
	l.mu.Lock()
	now := time.Now()
	if credit := now.Add(-limitCredit); l.paid.Before(credit) {
		l.paid = credit
	}
	l.paid = l.paid.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	pause := l.paid.Sub(now)
	l.mu.Unlock()
	if pause <= 0 {
		return nil
	}
	return Sleep(ctx, pause)
}

// meter counts the bytes of all bodies, and keeps to the limit. Time that the
// limit takes is not the server's, so this is above what judges its pace.
type meter struct {
	next     http.RoundTripper
	limit    *Limiter // may be nil
	received atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (m *meter) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := m.next.RoundTrip(request)
	if err == nil {
		response.Body = &meteredBody{response.Body, request.Context(), m}
	}
	return response, err
}

type meteredBody struct {
	io.ReadCloser
	ctx   context.Context
	meter *meter
}

func (b *meteredBody) Read(p []byte) (int, error) {
	limit := b.meter.limit
	if limit != nil {
		p = p[:min(int64(len(p)), limit.most())]
	}
	n, err := b.ReadCloser.Read(p)
	b.meter.received.Add(int64(n))
	if limit != nil && n > 0 {
		if stopped := limit.pay(b.ctx, int64(n)); stopped != nil && err == nil {
			err = stopped
		}
	}
	return n, err
}
