// Package daemon is the loop of "proa-agent run": it ends the watch of a release
// that was committed a moment ago, then asks the repository for news at the pace
// of the settings, and goes as far with them as the policy says. It arms a trial
// right before it reboots and only inside a maintenance window, so that a reboot
// for another reason never begins a trial outside of one.
//
// It does one thing at a time and holds no lock while it waits. It may be ended
// anywhere: what it calls can be cut and called again.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/config"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/notify"
	"github.com/proa-os/proa/updater/schedule"
)

// Config is what a Daemon needs.
type Config struct {
	// Load reads the settings and makes an agent of them: at the start and at
	// each reload. Required.
	Load     func() (config.Settings, Agent, error)
	Rebooter Rebooter        // required
	Random   schedule.Random // required
	Events   events.Sink     // required
	// StateFile is where the State is kept for others while the daemon runs.
	// Required.
	StateFile string
	// Manager is told how the daemon is; nil means a new one.
	Manager *notify.Manager
	// Now is the clock on the wall; nil means time.Now.
	Now func() time.Time
	// AtOnce leaves out the wait before the first poll.
	AtOnce bool
	// Hooks lets other services put off a reboot; nil means that nothing hangs on
	// it.
	Hooks hooks.Runner
}

// Daemon is the loop.
type Daemon struct {
	Config
	poll   chan struct{} // a poll is wanted
	drop   chan struct{} // what is staged is not to be armed
	reload chan struct{} // a reload is wanted

	working sync.Mutex
	cut     context.CancelCauseFunc // of the work under way, or nil

	settings config.Settings
	windows  schedule.Windows
	agent    Agent
	backoff  schedule.Backoff // of polls

	nextPoll time.Time
	ready    *Offer           // staged, and waits to be armed
	told     manifests.Digest // of the newest release that was told of
	reboot   reboot
	look     look
	state    State
}

// New reads the settings; it begins nothing.
func New(c Config) (*Daemon, error) {
	if c.Manager == nil {
		c.Manager = &notify.Manager{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Hooks == nil {
		c.Hooks = hooks.None()
	}
	d := &Daemon{Config: c, poll: make(chan struct{}, 1), drop: make(chan struct{}, 1), reload: make(chan struct{}, 1)}
	d.backoff.Random, d.reboot.backoff.Random = c.Random, c.Random
	return d, d.load()
}

// load replaces settings and agent, or neither of them.
func (d *Daemon) load() error {
	settings, agent, err := d.Load()
	if err != nil {
		return err
	}
	windows, err := Windows(settings)
	if err != nil {
		return err
	}
	d.settings, d.windows, d.agent = settings, windows, agent
	const first = time.Minute
	d.backoff.First, d.backoff.Most = first, max(first, time.Duration(settings.Poll))
	d.reboot.backoff.First, d.reboot.backoff.Most = first, time.Hour
	d.ready, d.state.Window = nil, nil // both may be others
	return nil
}

// Windows are the maintenance windows of the settings. The error names the one
// that is not right.
func Windows(settings config.Settings) (schedule.Windows, error) {
	var windows schedule.Windows
	for i, w := range settings.Windows {
		window, err := schedule.ParseWindow(w.Start, time.Duration(w.Length), w.Timezone)
		if err != nil {
			return nil, fmt.Errorf("windows[%d]: %w", i, err)
		}
		windows = append(windows, window)
	}
	return windows, nil
}

// PollNow makes the daemon ask the repository as soon as it has nothing else to
// do. It does not wait.
func (d *Daemon) PollNow() { want(d.poll) }

// Drop makes the daemon leave alone what is staged, until the next poll finds it
// again. It does not wait.
func (d *Daemon) Drop() { want(d.drop) }

// Reload makes the daemon read its settings again, as soon as it has nothing
// else to do. It does not wait.
func (d *Daemon) Reload() { want(d.reload) }

func want(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is wanted already
	}
}

// Interrupt ends the work that is under way, if any, and reports whether there
// was some. The daemon goes on with the next poll when that is due.
func (d *Daemon) Interrupt() bool {
	d.working.Lock()
	defer d.working.Unlock()
	if d.cut == nil {
		return false
	}
	d.cut(ErrInterrupted)
	return true
}

// work runs one thing that Interrupt can end, and gives back the memory that it
// took.
func (d *Daemon) work(ctx context.Context, activity Activity, run func(context.Context) error) error {
	outer := ctx
	ctx, cut := context.WithCancelCause(ctx)
	d.working.Lock()
	d.cut = cut
	d.working.Unlock()
	d.doing(activity, "")
	err := run(ctx)
	d.working.Lock()
	d.cut = nil
	d.working.Unlock()
	interrupted := ctx.Err() != nil && outer.Err() == nil
	cut(nil)
	debug.FreeOSMemory()
	d.Manager.Beat()
	if err != nil && interrupted {
		return ErrInterrupted
	}
	return err
}

// Run works until ctx ends, which is no error.
func (d *Daemon) Run(ctx context.Context) error {
	feeding, stop := context.WithCancel(context.Background())
	defer stop()
	d.begin(ctx)
	defer d.end()
	go d.Manager.Feed(feeding)
	d.watch(ctx)
	d.nextPoll = d.Now()
	if !d.AtOnce {
		d.nextPoll = d.nextPoll.Add(d.pace().First())
	}
	for ctx.Err() == nil {
		switch d.wait(ctx) {
		case duePoll:
			d.pollOnce(ctx)
		case dueReboot:
			d.rebootOnce(ctx)
		case dueReload:
			d.reloadOnce(ctx)
		}
	}
	return nil
}

// Once polls one time, reboots if it is time for that, and ends: what a timer
// runs instead of the service.
func (d *Daemon) Once(ctx context.Context) error {
	d.begin(ctx)
	defer d.end()
	d.watch(ctx)
	err := d.pollOnce(ctx)
	if d.rebootDue(d.Now()) {
		d.rebootOnce(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (d *Daemon) begin(ctx context.Context) {
	d.look = look{}
	d.Manager.Ready()
	version, slot, err := d.agent.Running(ctx)
	if err != nil {
		d.failed("status", err) // whatever else is asked will say so, too
	}
	d.Events.Event(events.Event{Kind: events.Started, Version: version, Slot: slot, Text: d.intent()})
}

func (d *Daemon) end() {
	d.Manager.Stopping()
	os.Remove(d.StateFile) // it says nothing that is true any more
	d.Events.Event(events.Event{Kind: events.Stopped})
}

// intent is the settings for people.
func (d *Daemon) intent() string {
	text := fmt.Sprintf("policy %s, channel %s, poll every %s", d.settings.Policy, d.settings.Channel, time.Duration(d.settings.Poll))
	for _, w := range d.windows {
		text += ", window " + w.String()
	}
	return text
}

func (d *Daemon) pace() schedule.Pace {
	return schedule.Pace{Every: time.Duration(d.settings.Poll), Jitter: time.Duration(d.settings.Jitter), Random: d.Random}
}

// watch ends the watch of the running release. That it cannot is no reason not
// to look for a better one.
func (d *Daemon) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := d.watchOnce(ctx)
		if errors.Is(err, ErrInterrupted) {
			select {
			case <-d.reload:
				d.reloadOnce(ctx)
			default: // somebody cancelled an update, which a watch is not
			}
			continue // with the settings in force
		}
		if err != nil && ctx.Err() == nil {
			d.failed("watch", err)
		}
		return
	}
}

// watchOnce is a watch that a wanted reload cuts: it may last for a day.
func (d *Daemon) watchOnce(ctx context.Context) error {
	// The checks report no progress; their limits are the settings'.
	const more = 5 * time.Minute
	defer d.Manager.Quiet(time.Duration(d.settings.Watch + d.settings.HealthLimit + config.Duration(more)))()
	return d.work(ctx, Watching, func(ctx context.Context) error {
		watched := make(chan error, 1)
		ctx, cut := context.WithCancel(ctx)
		defer cut()
		go func() { watched <- d.agent.Watch(ctx) }()
		select {
		case err := <-watched:
			return err
		case <-d.reload:
		}
		d.Reload() // for watch
		d.Interrupt()
		return errors.Join(ErrInterrupted, <-watched)
	})
}

// reloadOnce reads the settings again; when there is a fault in them, those
// that there are stay.
func (d *Daemon) reloadOnce(context.Context) {
	d.Manager.Reloading()
	defer d.Manager.Ready()
	if err := d.load(); err != nil {
		d.Events.Event(events.Event{Kind: events.ConfigRefused, Text: oneLine(err)})
		return
	}
	d.Events.Event(events.Event{Kind: events.ConfigReloaded, Text: d.intent()})
	// A shorter time to the next poll holds at once, and a longer one from then on.
	if soonest := d.Now().Add(d.pace().Next()); d.nextPoll.After(soonest) {
		d.nextPoll = soonest
	}
	d.backoff.Succeeded()
}
