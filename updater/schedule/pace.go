package schedule

import "time"

// Random is a uniform number from 0 to n-1, as math/rand/v2.Int64N.
type Random func(n int64) int64

// upTo is a uniform duration from 0 to most.
func (r Random) upTo(most time.Duration) time.Duration {
	return time.Duration(r(int64(max(most, 0)) + 1))
}

// Pace is how often a host asks for news, so that many hosts do not ask at once.
type Pace struct {
	Every  time.Duration
	Jitter time.Duration // the most that is added to each wait, uniformly
	Random Random
}

// First is how long to wait after a start.
func (p Pace) First() time.Duration { return p.Random.upTo(p.Jitter) }

// Next is how long to wait after a success.
func (p Pace) Next() time.Duration { return p.Every + p.Random.upTo(p.Jitter) }

// Backoff is how long to wait after errors: First, twice that, and so on, to at
// most Most; half of it at random, so that hosts that failed together do not
// come back together.
type Backoff struct {
	First  time.Duration
	Most   time.Duration
	Random Random

	failures int
}

// LongestAsked is the longest wait that a server may ask for.
const LongestAsked = 24 * time.Hour

// Failed notes an error and is how long to wait. Asked is what the server asked
// to wait, or 0; it is waited at least, up to LongestAsked.
func (b *Backoff) Failed(asked time.Duration) time.Duration {
	wait := b.First
	for range b.failures {
		if wait >= b.Most/2 {
			wait = b.Most
			break
		}
		wait *= 2
	}
	b.failures++
	wait = min(wait, b.Most)
	wait -= b.Random.upTo(wait / 2)
	if asked = min(asked, LongestAsked); asked > wait {
		return asked + b.Random.upTo(b.First)
	}
	return wait
}

// Failures is how many errors came since the latest success.
func (b *Backoff) Failures() int { return b.failures }

// Succeeded begins anew.
func (b *Backoff) Succeeded() { b.failures = 0 }
