// Package metrics tells Prometheus how a host stands, in its text format: as a
// file for node_exporter's textfile collector, or on a unix socket that
// answers GET /metrics. docs/reference/interfaces.md lists the metrics.
//
// The daemon makes Counters, gives them to the updater as a sink of its events
// (with events.Many), and calls Serve, which publishes until its context ends:
//
//	counters := metrics.NewCounters()
//	err = metrics.Serve(ctx, metrics.Config{
//		Target:   settings.Metrics, // not ""
//		Version:  version,
//		Counters: counters,
//		Status:   func(ctx context.Context) (updater.Status, error) { return u.Status(ctx, false) },
//	})
//
// Counters begin at 0 with each start of the daemon, as Prometheus expects of
// them; what must survive is a gauge that is read from the status.
package metrics

import (
	"context"
	"maps"
	"strconv"
	"sync"

	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/events"
)

// Config is what is published, and where.
type Config struct {
	Target   string // required: "unix:" and the path of a socket, or the path of a file
	Version  string // of the program
	Counters *Counters
	Status   func(context.Context) (updater.Status, error)
}

// Counters counts events. It is an events.Sink.
type Counters struct {
	mutex         sync.Mutex
	changed       chan struct{}
	checkFailures float64
	updates       map[string]float64 // by result
	downloaded    float64            // bytes
	reused        float64            // bytes
	hookFailures  float64
	deferrals     float64
}

// NewCounters makes them, all at 0.
func NewCounters() *Counters {
	c := &Counters{changed: make(chan struct{}, 1), updates: map[string]float64{}}
	for _, result := range results() {
		c.updates[result] = 0 // a series that begins at 1 has no rate
	}
	return c
}

// results are what an update may come to, by the event that says so.
func results() map[events.Kind]string {
	return map[events.Kind]string{
		events.Staged:    "staged",
		events.Armed:     "armed",
		events.Cancelled: "cancelled",
		events.Refused:   "refused",
		events.Untrusted: "untrusted",
		events.Failed:    "failed",
		events.Committed: "committed",
		events.WentBack:  "went_back",
	}
}

// Event implements events.Sink.
func (c *Counters) Event(e events.Event) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if result, ok := results()[e.Kind]; ok {
		c.updates[result]++
	}
	switch e.Kind {
	case events.CheckFailed:
		c.checkFailures++
	case events.HookFailed:
		c.hookFailures++
	case events.RebootDeferred:
		c.deferrals++
	case events.Staged, events.Armed, events.Repaired:
		c.downloaded += count(e, events.Bytes)
		c.reused += count(e, events.Reused)
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func count(e events.Event, field string) float64 {
	n, err := strconv.ParseUint(e.Fields[field], 10, 63)
	if err != nil {
		return 0
	}
	return float64(n)
}

func (c *Counters) families() []family {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return []family{
		single("proa_agent_check_failures_total", counter, "Attempts to ask the repository that failed.", c.checkFailures),
		{"proa_agent_updates_total", counter, "What updates came to.", byLabel("result", maps.Clone(c.updates))},
		single("proa_agent_downloaded_bytes_total", counter, "Bytes that updates downloaded.", c.downloaded),
		single("proa_agent_reused_bytes_total", counter, "Bytes of root images that need not be downloaded.", c.reused),
		single("proa_agent_hook_failures_total", counter, "Targets of hooks that did not start.", c.hookFailures),
		single("proa_agent_reboot_deferrals_total", counter, "Reboots that had to wait.", c.deferrals),
	}
}
