package fetch

import (
	"context"
	"errors"
	"time"
)

// Patience is how much a server may try it.
type Patience struct {
	// MinimumRate is the bytes per second below which a server is too slow,
	// measured over Window of waiting for it. 0 means 4096.
	MinimumRate int64
	// Window is 10 s when 0.
	Window time.Duration
	// Attempts is how often in a row something may fail; 0 means 4.
	Attempts int
	// Pause is the first pause between attempts, which doubles each time; 0
	// means half a second.
	Pause time.Duration
	// Longest is the longest pause that a busy server may ask for
	// (Retry-After). 0 means that servers are not asked.
	Longest time.Duration
}

func (p Patience) withDefaults() Patience {
	if p.MinimumRate == 0 {
		p.MinimumRate = 4096
	}
	if p.Window == 0 {
		p.Window = 10 * time.Second
	}
	if p.Attempts == 0 {
		p.Attempts = 4
	}
	if p.Pause == 0 {
		p.Pause = 500 * time.Millisecond
	}
	return p
}

// Retry begins a row of attempts.
func (p Patience) Retry() Retry {
	p = p.withDefaults()
	return Retry{p.Attempts, p.Pause, p.Longest}
}

// Retry is the state of a row of attempts.
type Retry struct {
	left    int
	pause   time.Duration
	longest time.Duration
}

// Next is how long to wait before the next attempt, if there is to be one after
// err.
func (r *Retry) Next(err error) (pause time.Duration, again bool) {
	var final permanentError
	if r.left--; r.left <= 0 || errors.As(err, &final) {
		return 0, false
	}
	pause = r.pause
	r.pause *= 2
	var busy statusError
	if errors.As(err, &busy) && r.longest > 0 {
		return max(pause, busy.after), busy.after <= r.longest
	}
	return pause, true
}

// Again waits for the next attempt, and returns nil when it is time. When there
// is to be none it returns err, or why ctx ended.
func (r *Retry) Again(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	pause, again := r.Next(err)
	if !again {
		return err
	}
	return Sleep(ctx, pause)
}

// Sleep waits. Its error is why ctx ended before.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
