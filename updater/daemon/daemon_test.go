package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/config"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/logind"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// machine is a host that does what the test says and writes down when it was
// asked for what. Time in it is that of the bubble: it begins on Saturday
// 2000-01-01 at 00:00 UTC.
type machine struct {
	t        *testing.T
	settings config.Settings
	fault    error // of the settings

	mu        sync.Mutex
	offer     Offer
	errs      map[string][]error // that the next calls return, by name
	takes     map[string]time.Duration
	inhibited []logind.Inhibitor
	notBefore time.Time
	armed     bool
	skew      time.Duration // of the clock on the wall
	calls     []string      // name and time since the start
	told      []events.Event
	began     time.Time
	onReboot  func()
}

func newMachine(t *testing.T, change func(*config.Settings)) *machine {
	settings := config.Defaults()
	settings.Jitter = 0
	if change != nil {
		change(&settings)
	}
	return &machine{t: t, settings: settings, errs: map[string][]error{}, takes: map[string]time.Duration{}, began: time.Now()}
}

func (m *machine) call(ctx context.Context, name string) error {
	m.mu.Lock()
	m.calls = append(m.calls, fmt.Sprintf("%s %s", name, time.Since(m.began).Round(time.Second)))
	takes := m.takes[name]
	var err error
	if queue := m.errs[name]; len(queue) > 0 {
		err, m.errs[name] = queue[0], queue[1:]
	}
	m.mu.Unlock()
	select {
	case <-time.After(takes):
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *machine) Running(context.Context) (manifests.Version, partitions.Slot, error) {
	return "1.0.0", partitions.SlotA, nil
}
func (m *machine) Watch(ctx context.Context) error { return m.call(ctx, "watch") }
func (m *machine) Check(ctx context.Context) (Offer, error) {
	err := m.call(ctx, "check")
	return m.offered(), err
}
func (m *machine) Stage(ctx context.Context) (Offer, error) {
	err := m.call(ctx, "stage")
	return m.offered(), err
}
func (m *machine) Arm(ctx context.Context) (Offer, error) {
	err := m.call(ctx, "arm")
	m.armed = err == nil
	return m.offered(), err
}
func (m *machine) TakeBack(ctx context.Context) error {
	m.armed = false
	return m.call(ctx, "take-back")
}
func (m *machine) RetryAfter(context.Context) (time.Time, string, error) {
	return m.notBefore, "the trial before did not end with a verdict", nil
}
func (m *machine) Inhibitors(context.Context) ([]logind.Inhibitor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inhibited, nil
}
func (m *machine) Reboot(ctx context.Context, why string, forced bool) error {
	if !m.armed {
		m.t.Error("reboots without an armed trial")
	}
	name := "reboot"
	if forced {
		name = "forced-reboot"
	}
	err := m.call(ctx, name)
	if err == nil && m.onReboot != nil {
		m.onReboot()
	}
	return err
}

func (m *machine) Event(e events.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, e)
	if missing := e.Missing(); missing != nil {
		m.t.Errorf("event %s lacks %v", e, missing)
	}
}

func (m *machine) kinds() (kinds []string) {
	for _, e := range m.told {
		kinds = append(kinds, e.Kind.Name())
	}
	return kinds
}

func (m *machine) daemon() *Daemon {
	d, err := New(Config{
		Load:      m.load,
		Rebooter:  m,
		Random:    func(n int64) int64 { return 0 },
		Events:    m,
		StateFile: filepath.Join(m.t.TempDir(), "agent.json"),
		Now:       m.now,
	})
	check(m.t, err)
	return d
}

// change changes the machine while the daemon runs.
func (m *machine) change(how func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	how()
}

func (m *machine) offered() Offer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.offer
}

func (m *machine) load() (config.Settings, Agent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settings, m, m.fault
}

func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.skew)
}

// run runs the daemon for so long, or until the machine reboots, and during the
// steps that do something else.
func (m *machine) run(d *Daemon, most time.Duration, steps ...func()) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), most)
	defer cancel()
	m.onReboot = func() { cancel() }
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	for _, step := range steps {
		synctest.Wait()
		step()
	}
	check(m.t, <-done)
}

func (m *machine) want(calls ...string) {
	m.t.Helper()
	if !slices.Equal(m.calls, calls) {
		m.t.Errorf("calls %q\nwant  %q", m.calls, calls)
	}
}

var release = Offer{Version: "1.1.0", Release: manifests.Digest{1}, News: true}

func sunday(s *config.Settings) {
	s.Windows = []config.Window{{Start: "Sun 02:00", Length: config.Duration(2 * time.Hour), Timezone: "UTC"}}
	s.Poll = config.Duration(24 * time.Hour)
}

// bubble runs a test under a clock of its own.
func bubble(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestUpdateIsStagedAtAnyTimeAndArmedRightBeforeTheRebootInsideAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, sunday)
		m.offer = release
		m.takes["stage"] = time.Hour
		m.run(m.daemon(), 72*time.Hour)
		m.want("watch 0s", "check 0s", "stage 0s", "check 25h0m0s", "arm 26h0m0s", "reboot 26h0m0s")
		if kinds := m.kinds(); !slices.Equal(kinds, []string{"started", "update-available", "rebooting", "stopped"}) {
			t.Errorf("events %v", kinds)
		}
	})
}

func TestPoliciesGoAsFarAsTheySay(t *testing.T) {
	bubble(t, "check", func(t *testing.T) {
		m := newMachine(t, func(s *config.Settings) { s.Policy = config.CheckOnly })
		m.offer = release
		m.run(m.daemon(), 90*time.Minute)
		m.want("watch 0s", "check 0s", "check 1h0m0s")
	})
	bubble(t, "staged", func(t *testing.T) {
		m := newMachine(t, func(s *config.Settings) { s.Policy = config.Staged })
		m.offer = release
		m.run(m.daemon(), 90*time.Minute)
		m.want("watch 0s", "check 0s", "stage 0s", "check 1h0m0s")
	})
	bubble(t, "automatic", func(t *testing.T) {
		m := newMachine(t, nil)
		m.offer = release
		m.run(m.daemon(), 90*time.Minute)
		m.want("watch 0s", "check 0s", "stage 0s", "arm 0s", "reboot 0s")
	})
	bubble(t, "nothing new", func(t *testing.T) {
		m := newMachine(t, nil)
		m.run(m.daemon(), 90*time.Minute)
		m.want("watch 0s", "check 0s", "check 1h0m0s")
	})
}

func TestNewerReleaseReplacesTheStagedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, func(s *config.Settings) { s.Policy = config.Staged })
		m.offer = release
		m.run(m.daemon(), 90*time.Minute, func() { m.change(func() { m.offer = Offer{"1.2.0", manifests.Digest{2}, true} }) })
		m.want("watch 0s", "check 0s", "stage 0s", "check 1h0m0s", "stage 1h0m0s")
	})
}

func TestInhibitorsPutTheRebootOffButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, func(s *config.Settings) { s.RebootDeferral = config.Duration(150 * time.Second) })
		m.offer = release
		m.inhibited = []logind.Inhibitor{{Who: "backup", Why: "writes a tape", PID: 7}}
		m.run(m.daemon(), time.Hour)
		m.want("watch 0s", "check 0s", "stage 0s", "arm 2m30s", "forced-reboot 2m30s")
		deferred := m.told[2]
		if deferred.Kind != events.RebootDeferred || deferred.Text != "backup: writes a tape (pid 7)" || deferred.Fields[events.Until] != "2000-01-01T00:02:30Z" {
			t.Errorf("event %+v", deferred)
		}
		if kinds := m.kinds(); !slices.Equal(kinds, []string{"started", "update-available", "reboot-deferred", "rebooting", "stopped"}) {
			t.Errorf("events %v: told more than once?", kinds)
		}
	})
}

func TestRebootComesWhenTheInhibitorHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, nil)
		m.offer = release
		m.inhibited = []logind.Inhibitor{{Who: "backup"}}
		m.run(m.daemon(), time.Hour, func() { time.Sleep(90 * time.Second) }, func() {
			m.mu.Lock()
			m.inhibited = nil
			m.mu.Unlock()
		})
		m.want("watch 0s", "check 0s", "stage 0s", "arm 2m0s", "reboot 2m0s")
	})
}

func TestDeferralDoesNotLeaveTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, sunday)
		m.settings.RebootDeferral = config.Duration(3 * time.Hour) // the window is open for two
		m.offer = release
		m.inhibited = []logind.Inhibitor{{Who: "backup"}}
		m.run(m.daemon(), 200*time.Hour)
		if last := m.calls[len(m.calls)-1]; last != "forced-reboot 194h0m0s" {
			t.Errorf("last call %s: want the next window", last)
		}
	})
}

func TestTrialIsTakenBackWhenTheRebootDoesNotCome(t *testing.T) {
	bubble(t, "refused", func(t *testing.T) {
		m := newMachine(t, nil)
		m.offer = release
		m.errs["reboot"] = []error{errors.New("no")}
		m.run(m.daemon(), time.Hour)
		m.want("watch 0s", "check 0s", "stage 0s", "arm 0s", "reboot 0s", "take-back 0s", "check 1m0s", "stage 1m0s", "arm 1m0s", "reboot 1m0s")
	})
	bubble(t, "inhibited in between", func(t *testing.T) {
		m := newMachine(t, nil)
		m.offer = release
		m.errs["reboot"] = []error{&logind.InhibitedError{Err: errors.New("somebody")}}
		m.run(m.daemon(), time.Hour)
		m.want("watch 0s", "check 0s", "stage 0s", "arm 0s", "reboot 0s", "take-back 0s", "check 1m0s", "stage 1m0s", "arm 1m0s", "reboot 1m0s")
	})
	bubble(t, "nothing happens", func(t *testing.T) {
		m := newMachine(t, nil)
		m.offer = release
		d := m.daemon()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+30*time.Second)
		defer cancel()
		check(t, d.Run(ctx))
		m.want("watch 0s", "check 0s", "stage 0s", "arm 0s", "reboot 0s", "take-back 10m0s")
	})
	bubble(t, "arming takes longer than the window", func(t *testing.T) {
		m := newMachine(t, sunday)
		m.settings.Poll = config.Duration(30 * 24 * time.Hour)
		m.offer = release
		m.takes["arm"] = 3 * time.Hour
		m.run(m.daemon(), 30*time.Hour)
		m.want("watch 0s", "check 0s", "stage 0s", "arm 26h0m0s", "take-back 29h0m0s", "check 29h1m0s", "stage 29h1m0s")
	})
}

func TestNextTrialWaitsForThePauseAfterOneWithoutVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, nil)
		m.offer = release
		m.notBefore = m.began.Add(20 * time.Minute)
		m.run(m.daemon(), time.Hour)
		m.want("watch 0s", "check 0s", "stage 0s", "arm 20m0s", "reboot 20m0s")
	})
}

func TestPollsBackOffAfterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, func(s *config.Settings) { s.Poll = config.Duration(6 * time.Minute) })
		network := &NetworkError{Err: errors.New("unreachable")}
		m.errs["check"] = []error{network, network, network, network, &NetworkError{errors.New("busy"), 30 * time.Minute}, ErrBusy, ErrRefused, nil, network}
		m.run(m.daemon(), time.Hour)
		m.want("watch 0s", "check 0s", "check 1m0s", "check 3m0s", "check 7m0s", "check 13m0s", // 1, 2, 4, 6
			"check 43m0s", "check 44m0s", "check 50m0s", "check 56m0s", "check 57m0s")
	})
}

func TestReloadTakesTheNewSettingsOrKeepsTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, func(s *config.Settings) { s.Poll = config.Duration(24 * time.Hour) })
		d := m.daemon()
		m.run(d, 90*time.Minute,
			func() { m.change(func() { m.fault = errors.New("agent.yaml:3:7: policy") }); d.Reload() },
			func() {
				m.change(func() { m.fault, m.settings.Windows = nil, []config.Window{{Start: "never"}} })
				d.Reload()
			},
			func() {
				m.change(func() { m.settings.Windows, m.settings.Poll = nil, config.Duration(time.Hour) })
				d.Reload()
			},
		)
		m.want("watch 0s", "check 0s", "check 1h0m0s")
		if kinds := m.kinds(); !slices.Equal(kinds, []string{"started", "config-refused", "config-refused", "config-reloaded", "stopped"}) {
			t.Errorf("events %v", kinds)
		}
		if text := m.told[1].Text; text != "agent.yaml:3:7: policy" {
			t.Errorf("refused for %q", text)
		}
	})
}

func TestReloadDoesNotWaitForALongWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, nil)
		m.takes["watch"] = 10 * time.Hour
		d := m.daemon()
		m.run(d, 11*time.Hour, func() { time.Sleep(time.Minute); d.Reload() })
		m.want("watch 0s", "watch 1m0s", "check 10h1m0s")
	})
}

func TestPollIsAtOnceWhenItIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, func(s *config.Settings) { s.Poll = config.Duration(24 * time.Hour) })
		d := m.daemon()
		m.run(d, 25*time.Hour, func() { time.Sleep(10 * time.Hour); d.PollNow() })
		m.want("watch 0s", "check 0s", "check 10h0m0s")
	})
}

func TestInterruptedWorkIsLeftUntilTheNextPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, nil)
		m.offer = release
		m.takes["stage"] = time.Hour
		d := m.daemon()
		m.run(d, 70*time.Minute, func() {
			time.Sleep(time.Minute)
			if !d.Interrupt() {
				t.Error("there is no work")
			}
		}, func() {
			if d.Interrupt() {
				t.Error("there is work still")
			}
		})
		m.want("watch 0s", "check 0s", "stage 0s", "check 1h1m0s", "stage 1h1m0s")
	})
}

func TestEndIsSoonWhateverIsUnderWay(t *testing.T) {
	for _, name := range []string{"watch", "check", "stage", "arm", "reboot"} {
		bubble(t, name, func(t *testing.T) {
			m := newMachine(t, nil)
			m.offer = release
			m.takes[name] = 24 * time.Hour
			m.run(m.daemon(), time.Minute)
			if took := time.Since(m.began); took > 2*time.Minute {
				t.Errorf("it took %s", took)
			}
			if m.armed && name != "arm" {
				t.Error("a trial stays armed without a reboot")
			}
		})
	}
}

func TestPollsFollowTheClockOnTheWall(t *testing.T) {
	day := func(s *config.Settings) { s.Poll = config.Duration(24 * time.Hour) }
	bubble(t, "set back", func(t *testing.T) {
		m := newMachine(t, day)
		m.run(m.daemon(), 30*time.Hour, func() { time.Sleep(time.Hour); m.change(func() { m.skew = -240 * time.Hour }) })
		if len(m.calls) != 3 || !strings.HasPrefix(m.calls[2], "check 25h") {
			t.Errorf("calls %q: want a day from then on", m.calls)
		}
	})
	bubble(t, "slept", func(t *testing.T) {
		m := newMachine(t, day)
		m.run(m.daemon(), 2*time.Hour, func() { time.Sleep(time.Hour); m.change(func() { m.skew = 240 * time.Hour }) })
		if len(m.calls) != 3 || !strings.HasPrefix(m.calls[2], "check 1h") {
			t.Errorf("calls %q: want a poll within a minute", m.calls)
		}
	})
	bubble(t, "slept among others", func(t *testing.T) {
		m := newMachine(t, day)
		m.settings.Jitter = config.Duration(10 * time.Minute)
		d := m.daemon()
		d.Random = func(n int64) int64 { return n - 1 }
		m.run(d, 2*time.Hour, func() { time.Sleep(time.Hour); m.change(func() { m.skew = 240 * time.Hour }) })
		if len(m.calls) != 3 || !strings.HasPrefix(m.calls[2], "check 1h10m") && !strings.HasPrefix(m.calls[2], "check 1h11m") {
			t.Errorf("calls %q: want a poll after the jitter", m.calls)
		}
	})
	bubble(t, "set into a window", func(t *testing.T) {
		m := newMachine(t, sunday)
		m.offer = release
		m.run(m.daemon(), 2*time.Hour, func() { time.Sleep(time.Hour); m.change(func() { m.skew = 26 * time.Hour }) })
		if last := m.calls[len(m.calls)-1]; !strings.HasPrefix(last, "reboot 1h") {
			t.Errorf("calls %q: want a reboot within a minute", m.calls)
		}
	})
}

func TestOthersCanReadWhatTheDaemonWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, sunday)
		m.offer = release
		d := m.daemon()
		m.run(d, time.Hour, func() { time.Sleep(time.Minute) }, func() {
			text, err := os.ReadFile(d.StateFile)
			check(t, err)
			var state State
			check(t, json.Unmarshal(text, &state))
			if state.PID != os.Getpid() || state.Activity != Idle || state.Policy != config.Automatic || state.Staged != "1.1.0" || state.LastPoll == nil {
				t.Errorf("state %+v", state)
			}
			if want := "the window to reboot into 1.1.0, "; !strings.HasPrefix(state.WaitsFor, want) {
				t.Errorf("waits for %q", state.WaitsFor)
			}
			sunday := time.Date(2000, 1, 2, 2, 0, 0, 0, time.UTC)
			if w := state.Window; w == nil || !w.Opens.Equal(sunday) || !w.Closes.Equal(sunday.Add(2*time.Hour)) {
				t.Errorf("window %+v", w)
			}
			if p := state.NextPoll; p == nil || !p.Equal(m.began.Add(24*time.Hour)) {
				t.Errorf("next poll %v", p)
			}
		})
		if _, err := os.Stat(d.StateFile); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestOncePollsOneTimeAndRebootsInsideAWindow(t *testing.T) {
	bubble(t, "outside", func(t *testing.T) {
		m := newMachine(t, sunday)
		m.offer = release
		check(t, m.daemon().Once(t.Context()))
		m.want("watch 0s", "check 0s", "stage 0s")
	})
	bubble(t, "inside", func(t *testing.T) {
		m := newMachine(t, sunday)
		m.offer, m.skew = release, 26*time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		m.onReboot = cancel
		check(t, m.daemon().Once(ctx))
		m.want("watch 0s", "check 0s", "stage 0s", "arm 0s", "reboot 0s")
	})
	bubble(t, "failing", func(t *testing.T) {
		m := newMachine(t, nil)
		m.errs["check"] = []error{ErrRefused}
		if err := m.daemon().Once(t.Context()); !errors.Is(err, ErrRefused) {
			t.Errorf("error %v", err)
		}
	})
}

func TestBadWindowIsNamedAtTheStart(t *testing.T) {
	settings := config.Defaults()
	settings.Windows = []config.Window{{Start: "Sun 02:00", Length: config.Duration(time.Hour)}, {Start: "Sun 2 o'clock", Length: config.Duration(time.Hour)}}
	if _, err := Windows(settings); err == nil || !strings.HasPrefix(err.Error(), `windows[1]: calendar expression "Sun 2 o'clock"`) {
		t.Errorf("error %v", err)
	}
}
