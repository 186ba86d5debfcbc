package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/config"
)

// Activity is what the daemon does.
type Activity string

// The activities.
const (
	Idle      Activity = "idle"
	Watching  Activity = "watching"
	Checking  Activity = "checking"
	Staging   Activity = "staging"
	Arming    Activity = "arming"
	Rebooting Activity = "rebooting"
)

// State is what the daemon does and waits for, as it is kept in a file while it
// runs (docs/reference/agent-service.md).
type State struct {
	PID      int               `json:"pid"`
	Activity Activity          `json:"activity"`
	Since    time.Time         `json:"since"`              // of the activity
	WaitsFor string            `json:"waitsFor,omitempty"` // for people
	Policy   config.Policy     `json:"policy"`
	NextPoll *time.Time        `json:"nextPoll,omitempty"`
	LastPoll *Poll             `json:"lastPoll,omitempty"`
	Failures int               `json:"failures,omitempty"` // polls in a row
	Found    manifests.Version `json:"found,omitempty"`    // news that the policy leaves alone
	Staged   manifests.Version `json:"staged,omitempty"`
	// Window is the maintenance window that is open or comes next; missing
	// without any, and if none will come.
	Window *Window `json:"window,omitempty"`
	// DeferredSince is since when inhibitors put the reboot off.
	DeferredSince *time.Time `json:"deferredSince,omitempty"`
}

// Poll is how the newest poll ended.
type Poll struct {
	When  time.Time `json:"when"`
	Error string    `json:"error,omitempty"`
}

// Window is when something may be armed.
type Window struct {
	Opens  time.Time  `json:"opens"`            // not after now if it is open
	Closes *time.Time `json:"closes,omitempty"` // missing if it does not
}

// doing publishes what the daemon does from now on.
func (d *Daemon) doing(activity Activity, what string) {
	text := string(activity)
	if what != "" {
		text += " " + what
	}
	d.publish(activity, "", text)
}

// idle publishes what the daemon waits for.
func (d *Daemon) idle(now, rebootAt time.Time) {
	text := "the next poll, " + clock(d.nextPoll)
	switch {
	case d.ready == nil:
	case d.settings.Policy == config.Staged:
		text = fmt.Sprintf("somebody to arm %s: proa-agent update --now", d.ready.Version)
	case rebootAt.IsZero():
		text = fmt.Sprintf("a window to reboot into %s; none will come", d.ready.Version)
	case d.reboot.notBefore.After(now):
		text = fmt.Sprintf("rebooting into %s, %s: %s", d.ready.Version, clock(rebootAt), d.reboot.why)
	default:
		text = fmt.Sprintf("the window to reboot into %s, %s", d.ready.Version, clock(rebootAt))
	}
	d.publish(Idle, text, "waiting for "+text)
}

func clock(t time.Time) string { return t.Local().Format("Mon 2006-01-02 15:04 MST") }

// publish tells the service manager and others, if it changes anything.
func (d *Daemon) publish(activity Activity, waitsFor, status string) {
	now := d.Now().UTC().Truncate(time.Second)
	next := d.state
	next.PID, next.Policy, next.WaitsFor = os.Getpid(), d.settings.Policy, waitsFor
	if next.Activity != activity || next.WaitsFor != d.state.WaitsFor {
		next.Activity, next.Since = activity, now
	}
	next.NextPoll, next.Staged, next.DeferredSince = nil, "", nil
	if !d.nextPoll.IsZero() {
		at := d.nextPoll.UTC().Truncate(time.Second)
		next.NextPoll = &at
	}
	if d.ready != nil {
		next.Staged = d.ready.Version
	}
	if !d.reboot.since.IsZero() {
		since := d.reboot.since.UTC()
		next.DeferredSince = &since
	}
	next.Window = d.window(now)
	if reflect.DeepEqual(next, d.state) {
		return
	}
	d.state = next
	content, err := json.MarshalIndent(next, "", "  ")
	if err == nil {
		err = durable.WriteFile(d.StateFile, append(content, '\n'), 0o644)
	}
	if err != nil {
		status += "; " + oneLine(err) // others then do not know, and nothing else depends on it
	}
	d.Manager.Status(status)
}

func (d *Daemon) window(now time.Time) *Window {
	if w := d.state.Window; w != nil && !w.Opens.After(now) && w.Closes != nil && now.Before(*w.Closes) {
		return w
	}
	opens := d.windows.Opening(now)
	if len(d.windows) == 0 || opens.IsZero() {
		return nil
	}
	w := &Window{Opens: opens.UTC()}
	if closes := d.windows.Closing(opens); !closes.IsZero() {
		closes = closes.UTC()
		w.Closes = &closes
	}
	return w
}
