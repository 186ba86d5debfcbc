package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/bus"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/metrics"
)

// faces are how the daemon shows itself to other programs. Its work does not
// depend on them.
type faces struct {
	signals  *bus.Signals
	counters *metrics.Counters
	told     io.Writer // of what does not work

	mutex   sync.Mutex
	updater *updater.Updater
	target  string
	changed chan struct{} // closed when target is another
}

func newFaces(told io.Writer) *faces {
	return &faces{signals: bus.NewSignals(), counters: metrics.NewCounters(), told: told, changed: make(chan struct{})}
}

// sink tells to and all faces.
func (f *faces) sink(to events.Sink) events.Sink { return events.Many(to, f.signals, f.counters) }

// use makes u the updater that is asked from now on.
func (f *faces) use(u *updater.Updater) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.updater = u
	if f.target != u.Settings.Metrics {
		f.target = u.Settings.Metrics
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

func (f *faces) current() (u *updater.Updater, changed <-chan struct{}) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.updater, f.changed
}

// Status is how the host stands, without asking the repository.
func (f *faces) Status(ctx context.Context) (updater.Status, error) {
	u, _ := f.current()
	return u.Status(ctx, false)
}

// show serves all faces until it is stopped, which waits for them.
func (f *faces) show(ctx context.Context, agent bus.Agent) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		f.keep(ctx, "D-Bus", func(ctx context.Context) error {
			return bus.ServeSystem(ctx, bus.Config{Agent: agent, Signals: f.signals, Version: cli.Version})
		})
	})
	all.Go(func() { f.showMetrics(ctx) })
	return func() {
		cancel()
		all.Wait()
	}
}

// showMetrics publishes where the settings in force say.
func (f *faces) showMetrics(ctx context.Context) {
	for ctx.Err() == nil {
		u, changed := f.current()
		ctx, cancel := context.WithCancel(ctx)
		var serving sync.WaitGroup
		if target := u.Settings.Metrics; target != "" {
			serving.Go(func() {
				f.keep(ctx, "metrics", func(ctx context.Context) error {
					return metrics.Serve(ctx, metrics.Config{Target: target, Version: cli.Version, Counters: f.counters, Status: f.Status})
				})
			})
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		cancel()
		serving.Wait()
	}
}

// keep serves until ctx ends. What does not work is told once and tried again.
func (f *faces) keep(ctx context.Context, name string, serve func(context.Context) error) {
	const pause = time.Minute
	last := ""
	for ctx.Err() == nil {
		if err := serve(ctx); err != nil && err.Error() != last {
			last = err.Error()
			fmt.Fprintf(f.told, "note: %s: %v\n", name, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
