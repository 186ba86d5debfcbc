package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/proa-os/proa/updater/program"
)

// unit is what was seen of a systemd unit.
type unit struct {
	checks *Checks
	name   string

	mu       sync.Mutex
	seen     bool      // once at least
	restarts int       // that systemd had made of it, by itself, when the count began
	began    time.Time // when the count began
	run      string    // invocation id of the run that was seen last
	since    time.Time // when that run was seen active first
}

// What is made of a service that does not stay up.
const (
	restartsMost = 2                // that a service may need to find its feet
	calm         = 30 * time.Second // of one run, after which earlier restarts are forgiven
)

// unit is the one of that name, with its memory.
func (c *Checks) unit(name string) *unit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.units[name] == nil {
		c.units[name] = &unit{checks: c, name: name}
	}
	return c.units[name]
}

// mustBeActive waits while the unit is being started, and until a service has stayed up for
// a moment.
func (u *unit) mustBeActive(ctx context.Context) error {
	var waiting error
	for {
		state, err := u.checks.show(ctx, u.name)
		if err != nil && waiting != nil && ctx.Err() != nil {
			return waiting
		}
		if err != nil {
			return err
		}
		wait, err := u.judge(state, time.Now())
		if err != nil || wait == "" {
			return err
		}
		waiting = errors.New(wait)
		select {
		case <-ctx.Done():
			return waiting
		case <-time.After(u.checks.Pause):
		}
	}
}

// judge is nothing for a unit that is active, what it is waited for with, or why it is not healthy.
func (u *unit) judge(s unitState, now time.Time) (wait string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	active := s.isActive()
	if !u.seen || s.restarts < u.restarts {
		u.seen, u.restarts, u.began = true, s.restarts, now
	}
	if !active || s.run != u.run {
		u.run, u.since = s.run, now
	}
	stable := now.Sub(u.since)
	if active && stable >= calm {
		u.restarts, u.began = s.restarts, now
	}
	if again := s.restarts - u.restarts; again > restartsMost {
		return "", fmt.Errorf("restarted %d times in %d s%s", again, int64(now.Sub(u.began).Round(time.Second).Seconds()), s.why())
	}
	switch {
	case active && (stable >= u.checks.Settle || !strings.HasSuffix(u.name, ".service")):
		return "", nil
	case active:
		return fmt.Sprintf("has not stayed active for %s", u.checks.Settle), nil
	case s.active == "activating" && s.sub != "auto-restart":
		return "is being started (" + s.sub + ")", nil
	}
	return "", s.fault()
}

// unitState is what systemd says of a unit. The names are those of
// org.freedesktop.systemd1(5).
type unitState struct {
	load     string // LoadState
	active   string // ActiveState
	sub      string // SubState
	result   string // Result
	code     int    // ExecMainCode: 1 for an exit, 2 and 3 for a signal (siginfo's CLD_*)
	status   int    // ExecMainStatus: exit status or signal
	restarts int    // NRestarts
	run      string // InvocationID
	unmet    bool   // ConditionResult is no, and ConditionTimestampMonotonic tells that it was asked
	after    []string
	requires []string
}

func (s unitState) isActive() bool {
	return s.active == "active" || s.active == "reloading" || s.active == "refreshing"
}

// fault says why a unit is not active.
func (s unitState) fault() error {
	switch {
	case s.load == "not-found":
		return errors.New("there is no such unit")
	case s.load != "loaded" && s.load != "":
		return fmt.Errorf("unit is not loaded: %s", s.load)
	case s.active == "inactive" && s.unmet:
		return errors.New("inactive: a condition of it is not met")
	case s.sub == "auto-restart":
		return fmt.Errorf("waits for its restart%s", s.why())
	}
	return fmt.Errorf("%s%s", s.active, s.why())
}

// why is how the main process ended, as far as it says something.
func (s unitState) why() string {
	switch {
	case s.result == "" || s.result == "success" && s.code == 0:
		return ""
	case s.code == 1 && (s.status != 0 || s.result != "success"):
		return fmt.Sprintf(": %s, exit status %d", s.result, s.status)
	case s.code > 1:
		return fmt.Sprintf(": %s, signal %d", s.result, s.status)
	case s.result == "success":
		return ""
	}
	return ": " + s.result
}

const shown = "LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,NRestarts,InvocationID,ConditionResult,ConditionTimestampMonotonic,After,Requires"

// show asks systemd for a unit.
func (c *Checks) show(ctx context.Context, name string) (unitState, error) {
	if c.Systemctl == "" {
		return unitState{}, errors.New("systemd does not run here")
	}
	answer, err := program.Answer(ctx, program.Program{
		Path: c.Systemctl, Args: []string{"show", "--no-pager", "--property=" + shown, "--", name},
	}, showMost)
	if err != nil {
		return unitState{}, fmt.Errorf("systemctl: %w", err)
	}
	return parseShow(answer)
}

// showMost is the longest answer, in bytes: a target can be after many units.
const showMost = 256 << 10

// parseShow reads what systemctl show prints: key=value, one a line. Keys that a unit of its type does not
// have are missing.
func parseShow(output []byte) (unitState, error) {
	var s unitState
	numbers := map[string]*int{"ExecMainCode": &s.code, "ExecMainStatus": &s.status, "NRestarts": &s.restarts}
	words := map[string]*string{
		"LoadState": &s.load, "ActiveState": &s.active, "SubState": &s.sub, "Result": &s.result, "InvocationID": &s.run,
	}
	var no, asked bool
	for line := range bytes.Lines(output) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		switch {
		case numbers[key] != nil:
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return unitState{}, fmt.Errorf("systemctl: %s is %.40q: want a whole number", key, value)
			}
			*numbers[key] = int(n)
		case words[key] != nil:
			*words[key] = value
		case key == "ConditionResult":
			no = value == "no"
		case key == "ConditionTimestampMonotonic":
			asked = value != "0"
		case key == "After":
			s.after = strings.Fields(value)
		case key == "Requires":
			s.requires = strings.Fields(value)
		}
	}
	if s.active == "" {
		return unitState{}, errors.New("systemctl: no ActiveState in its answer")
	}
	s.unmet = no && asked
	return s, nil
}
