package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/partitions"
)

// Exit codes of proa-agent (docs/reference/agent.md).
const (
	exitOK       = 0
	exitFailed   = 1
	exitRefused  = 3
	exitWentBack = 5
)

// status is what the tests look at in proa-agent status --json.
type status struct {
	Running struct {
		Version  string `json:"version"`
		Slot     string `json:"slot"`
		Standing string `json:"standing"`
	} `json:"running"`
	Committed string `json:"committed"`
	Pending   *struct {
		Slot    string `json:"slot"`
		Version string `json:"version"`
	} `json:"pending"`
	Phase string `json:"phase"`
	Last  *struct {
		Version string `json:"version"`
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
	} `json:"last"`
	Blocked []struct {
		Version string `json:"version"`
	} `json:"blocked"`
	Configuration *struct {
		Door    string `json:"door"`
		Outcome string `json:"outcome"`
		Error   string `json:"error"`
	} `json:"configuration"`
	Degraded string   `json:"degraded"`
	Problems []string `json:"problems"`
}

// updated is what the tests look at in proa-agent update --json.
type updated struct {
	Result     string `json:"result"`
	Version    string `json:"version"`
	Slot       string `json:"slot"`
	Path       string `json:"path"`
	Downloaded int64  `json:"downloaded"`
	Copied     int64  `json:"copied"`
	Patched    int64  `json:"patched"`
	Reused     int64  `json:"reused"`
}

// agent runs proa-agent in the guest and checks its exit code.
func (h *host) agent(args string, wantExit int) machine.Result {
	h.t.Helper()
	r, err := h.boot.Run(h.wait(), "proa-agent "+args)
	if err != nil {
		h.t.Fatal(err)
	}
	if r.ExitCode != wantExit {
		h.t.Fatalf("proa-agent %s: exit code %d, want %d\n%s%s", args, r.ExitCode, wantExit, r.Stdout, r.Stderr)
	}
	return r
}

func (h *host) status(wantExit int) status {
	h.t.Helper()
	var s status
	r := h.agent("status --json", wantExit)
	if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil {
		h.t.Fatalf("status --json: %v: %s", err, r.Stdout)
	}
	return s
}

// update installs what the channel offers, up to and with arming it.
func (h *host) update(wantExit int, flags ...string) updated {
	h.t.Helper()
	var u updated
	started := time.Now()
	args := strings.Join(append([]string{"update", "--json"}, flags...), " ")
	r := h.agent(args, wantExit)
	if err := json.Unmarshal([]byte(r.Stdout), &u); err != nil {
		h.t.Fatalf("%s: %v: %s", args, err, r.Stdout)
	}
	h.t.Logf("update: %.1f s, %s %s by %s, %d bytes downloaded, %d copied, %d patched, %d reused",
		time.Since(started).Seconds(), u.Result, u.Version, u.Path, u.Downloaded, u.Copied, u.Patched, u.Reused)
	return u
}

// wantCommittedUpdate checks that a release came to lead from slot b, for the
// agent, for the loader, and after a further boot without any variables.
func (h *host) wantCommittedUpdate(version string) {
	h.t.Helper()
	h.wantRunning(version, partitions.SlotB)
	s := h.status(exitOK)
	if s.Running.Version != version || s.Running.Slot != "b" || s.Committed != "b" || s.Pending != nil || s.Phase != "good" {
		h.t.Errorf("status: %+v", s)
	}
	if s.Last == nil || s.Last.Version != version || s.Last.Outcome != "committed" {
		h.t.Errorf("status: last is %+v", s.Last)
	}
	h.boot.PowerCut()
	h.wantCommitted(partitions.SlotB)
	if err := h.machine.ForgetVariables(); err != nil {
		h.t.Fatal(err)
	}
	h.start()
	h.wantRunning(version, partitions.SlotB)
}

// wantBack checks that the machine is back on the base release, and that the
// agent says of the failed one why, and whether it is blocked.
func (h *host) wantBack(version, reason string, blocked bool) {
	h.t.Helper()
	h.wantRunning(base, partitions.SlotA)
	s := h.status(exitWentBack)
	if s.Running.Version != base || s.Running.Standing != "committed" || s.Committed != "a" || s.Pending != nil {
		h.t.Errorf("status: %+v", s)
	}
	if s.Last == nil || s.Last.Version != version || s.Last.Outcome != "went back" || !strings.Contains(s.Last.Reason, reason) {
		h.t.Errorf("status: last is %+v, want %s went back: %s", s.Last, version, reason)
	}
	var versions []string
	for _, b := range s.Blocked {
		versions = append(versions, b.Version)
	}
	if slices.Contains(versions, version) != blocked {
		h.t.Errorf("blocked are %q: want %s among them: %t", versions, version, blocked)
	}
	h.boot.PowerCut()
	h.wantCommitted(partitions.SlotA)
}
