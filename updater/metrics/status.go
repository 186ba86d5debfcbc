package metrics

import (
	"encoding/json"
	"time"

	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/journal"
)

// daemon is what is read of the daemon's part of the status.
type daemon struct {
	Activity string `json:"activity"`
	LastPoll *struct {
		When time.Time `json:"when"`
	} `json:"lastPoll"`
}

// gauges are how the host stands.
func gauges(s updater.Status, version string) []family {
	var d daemon
	_ = json.Unmarshal(s.Agent, &d) // missing without a daemon
	all := []family{
		{"proa_agent_info", gauge, "What runs here.", []sample{{[]label{
			{"agent_version", version},
			{"version", string(s.Running.Version)},
			{"slot", s.Running.Slot.String()},
			{"product", s.Product},
			{"channel", s.Channel},
			{"boot_control", s.BootControl},
		}, 1}}},
		single("proa_agent_on_trial", gauge, "1 while the running release is on trial.", truth(s.Running.Standing == "trial")),
		single("proa_agent_trial_pending", gauge, "1 if the next boot tries another release.", truth(s.Pending != nil)),
		single("proa_agent_blocked_releases", gauge, "Releases that this host refuses.", float64(len(s.Blocked))),
		single("proa_agent_degraded", gauge, "1 if the machine could not survive as much as it should.", truth(s.Degraded != "")),
		single("proa_agent_problems", gauge, "Things that status complains of.", float64(len(s.Problems))),
		{"proa_agent_phase", gauge, "1 for how far the newest update got.", stateSet("phase", string(s.Phase),
			string(journal.Idle), string(journal.Clearing), string(journal.Writing), string(journal.Verified),
			string(journal.Armed), string(journal.Committing), string(journal.Good), string(journal.Bad))},
		moment("proa_agent_committed_timestamp_seconds", "When the running release began to lead.", s.Running.Since),
		moment("proa_agent_retry_after_timestamp_seconds", "Before when no trial is repeated.", s.RetryAfter),
		moment("proa_agent_watch_until_timestamp_seconds", "Until when a failing health check still goes back.", s.WatchUntil),
		moment("proa_agent_last_rollback_timestamp_seconds", "When a release last went back.", lastRollback(s)),
	}
	if d.Activity != "" {
		all = append(all, family{"proa_agent_activity", gauge, "1 for what the daemon does.", []sample{{[]label{{"activity", d.Activity}}, 1}}})
	}
	if d.LastPoll != nil {
		all = append(all, moment("proa_agent_last_check_timestamp_seconds", "When the repository was last asked.", &d.LastPoll.When))
	}
	return all
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// moment has no sample when it never came.
func moment(name, help string, when *time.Time) family {
	f := family{name: name, kind: gauge, help: help}
	if when != nil && !when.IsZero() {
		f.samples = []sample{{nil, float64(when.UnixMilli()) / 1000}}
	}
	return f
}

// stateSet is one sample for each state, 1 for the one that is.
func stateSet(name, is string, states ...string) []sample {
	samples := make([]sample, len(states))
	for i, state := range states {
		samples[i] = sample{[]label{{name, state}}, truth(state == is)}
	}
	return samples
}

func lastRollback(s updater.Status) *time.Time {
	results := s.History
	if s.Last != nil {
		results = append(results[:len(results):len(results)], *s.Last)
	}
	for i := len(results) - 1; i >= 0; i-- {
		if results[i].Outcome == journal.WentBack {
			return &results[i].When
		}
	}
	return nil
}
