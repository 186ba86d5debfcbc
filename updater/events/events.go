// Package events is what happens to a host's releases, for whoever wants to
// know: each kind of event has a name, a message id of the systemd journal
// that never changes, a priority, and an entry in the message catalogue
// (Catalog) that explains it to the person who reads it.
//
// Whoever does the work tells a Sink. Default is the sink of a program on a
// host: the journal, or standard error where there is none. The daemon adds
// others with Many. A sink never fails and never keeps its caller waiting for
// long: an update must not depend on who listens.
package events

import (
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
)

// Event is one thing that happened.
type Event struct {
	Kind    Kind
	Version manifests.Version // of the release that it is about; may be empty
	Slot    partitions.Slot   // that it is about; 0 when it is about none
	// Text is the reason or what else is to be said, one line; may be empty.
	Text string
	// Fields are further data by name, such as Release. In the journal
	// "release" is PROA_RELEASE.
	Fields map[string]string
}

// Names of fields that several kinds have.
const (
	Release  = "release"  // digest of the release
	Previous = "previous" // version that ran before
	Until    = "until"    // RFC 3339 time at which it ends or is tried again
	Action   = "action"   // what was being done: check, update, judge, …
	Tries    = "tries"    // trials of the release so far, decimal
	Unit     = "unit"     // a systemd unit
	Bytes    = "bytes"    // how many it is about, decimal
	Reused   = "reused"   // bytes that need not be downloaded, decimal
	Result   = "result"   // the word that the command gives for it
)

// String is the line that a log shows: what happened, to which release in
// which slot, and the text.
func (e Event) String() string {
	var line strings.Builder
	line.WriteString(e.Kind.Subject())
	if e.Version != "" {
		line.WriteString(": release " + string(e.Version))
	}
	if e.Slot != 0 {
		if e.Version == "" {
			line.WriteString(":")
		} else {
			line.WriteString(",")
		}
		line.WriteString(" slot " + e.Slot.String())
	}
	if e.Text != "" {
		line.WriteString(": " + e.Text)
	}
	return line.String()
}

// Sink is told about events. It may be called from several goroutines.
type Sink interface {
	Event(Event)
}

// Silent is a Sink that tells nobody.
func Silent() Sink { return many(nil) }

// Many is a Sink that tells each of sinks, in order; nil ones are left out.
func Many(sinks ...Sink) Sink {
	var all many
	for _, sink := range sinks {
		if sink != nil {
			all = append(all, sink)
		}
	}
	return all
}

type many []Sink

func (m many) Event(e Event) {
	for _, sink := range m {
		sink.Event(e)
	}
}
