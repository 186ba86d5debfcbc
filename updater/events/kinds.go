package events

import (
	"fmt"
	"log/slog"
)

// Kind is what sort of thing happened.
type Kind uint8

// The kinds, in the order of an update's life.
const (
	Started Kind = iota // the daemon runs
	Stopped             // the daemon ends
	ConfigReloaded
	ConfigRefused // the one before stays in force
	UpdateAvailable
	CheckFailed
	Refused // nothing was begun, because of the release or of how the host stands
	Untrusted
	Failed // it may be tried again
	DownloadStarted
	Staged
	Armed
	Cancelled
	Rebooting
	RebootDeferred
	TrialStarted
	TrialUndecided // it is tried again, after a pause
	HealthFailed
	Committed
	WatchPassed
	WentBack
	Blocked
	Unblocked
	Recovered
	Degraded
	Repaired
	HookFailed
	EtcOverridden
	Migrated
	MigrationFailed

	kinds int = iota
)

// Kinds lists all, in order.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Name is the kind's word in JSON and in signals, such as "went-back".
func (k Kind) Name() string { return k.entry().name }

// String is the name.
func (k Kind) String() string { return k.Name() }

// ID is the kind's message id: 32 lower case hex digits, the same for ever
// (sd_journal_send's MESSAGE_ID).
func (k Kind) ID() string { return k.entry().id }

// Priority is how much it matters, as syslog counts.
func (k Kind) Priority() Priority { return k.entry().priority }

// Subject is what happened, in a few words.
func (k Kind) Subject() string { return k.entry().subject }

// Explanation is the catalogue's text; @PROA_VERSION@ and the like stand for
// the event's fields (see the systemd project's "Message Catalog Developer
// Documentation").
func (k Kind) Explanation() string { return k.entry().explanation }

// MarshalText implements encoding.TextMarshaler.
func (k Kind) MarshalText() ([]byte, error) {
	if int(k) >= kinds {
		return nil, fmt.Errorf("event kind %d: there are %d", k, kinds)
	}
	return []byte(k.Name()), nil
}

func (k Kind) entry() entry {
	if int(k) >= kinds {
		return entry{name: "unknown", priority: Err, subject: fmt.Sprintf("Unknown event %d", k)}
	}
	return table[k]
}

// Priority is a level of syslog(3).
type Priority uint8

// The priorities in use.
const (
	Crit    Priority = 2
	Err     Priority = 3
	Warning Priority = 4
	Notice  Priority = 5
	Info    Priority = 6
)

// Level is the nearest of log/slog.
func (p Priority) Level() slog.Level {
	switch {
	case p <= Err:
		return slog.LevelError
	case p == Warning:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
