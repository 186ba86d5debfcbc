package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestAllStreamsTogetherKeepToTheLimit counts by a clock of its own.
func TestAllStreamsTogetherKeepToTheLimit(t *testing.T) {
	for _, rate := range []int64{1 << 10, 100_000, 1 << 20, 64 << 20} {
		synctest.Test(t, func(t *testing.T) {
			limit := NewLimiter(rate)
			size := min(rate*10, int64(len(content)))
			start := time.Now()
			var group errgroup.Group
			for range 3 { // of two clients, such as the repository and a neighbour
				c := memory(t, func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) })
				c.meter.limit = limit
				for range 2 {
					group.Go(func() error {
						got, err := readRange(c, 0, size)
						if !bytes.Equal(got, content[:size]) {
							t.Errorf("%d bytes", len(got))
						}
						return err
					})
				}
			}
			check(t, group.Wait())
			want := time.Duration(float64(6*size) / float64(rate) * float64(time.Second))
			if took := time.Since(start); took < want-limitCredit-time.Millisecond || took > want {
				t.Errorf("%d bytes at %d per second took %s: want %s", 6*size, rate, took, want)
			}
			// Time that was not used is not made up for.
			time.Sleep(time.Hour)
			start = time.Now()
			check(t, limit.pay(t.Context(), rate))
			if took := time.Since(start); took != time.Second-limitCredit {
				t.Errorf("a second's bytes took %s after an hour of rest", took)
			}
		})
	}
}

func TestALimitBelowTheLeastRateIsNotTheServersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory(t, func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) })
		c.meter.limit = NewLimiter(1 << 10)
		if got, err := readRange(c, 0, 100_000); err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func TestWaitingForTheLimitEndsWithItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		c := memory(t, func(_ int64, w http.ResponseWriter, r *http.Request) { whole(w, r) })
		c.meter.limit = NewLimiter(1 << 10)
		start := time.Now()
		time.AfterFunc(10*time.Second, func() { cancel(enough) })
		_, err := io.ReadAll(c.Range(ctx, "x", int64(len(content)), 0, 100_000))
		if took := time.Since(start); !errors.Is(err, enough) || took != 10*time.Second {
			t.Errorf("error %v after %s", err, took)
		}
	})
}

func TestNoLimitIsNone(t *testing.T) {
	if NewLimiter(0) != nil {
		t.Error("0 is a limit")
	}
}
