package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
)

// Phase is how far the updater got. The order is that of an update.
type Phase string

// The phases.
const (
	Idle       Phase = "idle"       // nothing is under way
	Clearing   Phase = "clearing"   // the target slot is being disarmed
	Writing    Phase = "writing"    // the target slot is being written
	Verified   Phase = "verified"   // the target slot is complete
	Armed      Phase = "armed"      // the next boot tries the target slot
	Committing Phase = "committing" // the trial proved healthy, the target is to lead
	Good       Phase = "good"       // the target slot leads
	Bad        Phase = "bad"        // the target went back for good
	Reverting  Phase = "reverting"  // the target failed while it was watched, the other slot is to lead
	Cancelling Phase = "cancelling" // the target is being given up
)

// Record is everything the journal says.
type Record struct {
	Phase  Phase   `json:"phase"`
	Target *Target `json:"target,omitempty"` // what the phase is about
	Offset int64   `json:"offset,omitempty"` // bytes of the root image that were synced, from 0 on; a hint
	Tries  int     `json:"tries,omitempty"`  // trials of the target that were begun
	BootID string  `json:"bootId,omitempty"` // of the boot that armed the target, or gave it up

	ArmedAt *time.Time `json:"armedAt,omitempty"` // when the target's trial was armed
	// WithoutVar says that /var was in memory already in the boot that armed the target.
	WithoutVar bool `json:"withoutVar,omitempty"`
	// RetryAfter is when the target may be tried again, after a trial without a
	// verdict.
	RetryAfter *time.Time `json:"retryAfter,omitempty"`
	// WatchUntil is the end of the target's watch window, until that is over.
	WatchUntil *time.Time `json:"watchUntil,omitempty"`

	Last    *Result   `json:"last,omitempty"`    // how the newest trial ended
	History []Result  `json:"history,omitempty"` // how those before it ended, oldest first, at most HistoryMost
	Blocked []Blocked `json:"blocked,omitempty"` // oldest first

	SecurityEpoch  uint64     `json:"securityEpoch,omitempty"`  // the highest that ever led here
	CommittedSince *time.Time `json:"committedSince,omitempty"` // when the leading slot began to lead
	// Releases is what each slot was committed with, by its letter.
	Releases map[string]Target `json:"releases,omitempty"`
}

// Target is a release in a slot.
type Target struct {
	Slot          partitions.Slot    `json:"slot"`
	Release       manifests.Digest   `json:"release"` // of the release.json
	Version       manifests.Version  `json:"version"`
	RootHash      manifests.HexBytes `json:"rootHash"`
	SecurityEpoch uint64             `json:"securityEpoch"`
	// VarFormat is the format of /var that the release works with; 0 is the first.
	VarFormat int `json:"varFormat,omitempty"`
}

// Outcome is how a trial ended.
type Outcome string

// The outcomes.
const (
	Committed Outcome = "committed"
	WentBack  Outcome = "went back"
)

// Result is the end of a trial.
type Result struct {
	Version manifests.Version `json:"version"`
	When    time.Time         `json:"when"`
	Outcome Outcome           `json:"outcome"`
	Reason  string            `json:"reason,omitempty"` // one line
	Armed   *time.Time        `json:"armed,omitempty"`  // when the trial was armed; When is when its end was noted
	Try     int               `json:"try,omitempty"`    // which trial of the release it was, from 1 on
	// Journal is where the last lines of the boot that failed are kept, a path of
	// the host; empty when there are none.
	Journal string `json:"journal,omitempty"`
}

// HistoryMost is how many results before the newest a record keeps.
const HistoryMost = 8

// End notes how a trial ended.
func (r *Record) End(result Result) {
	if r.Last != nil {
		r.History = append(append([]Result(nil), r.History...), *r.Last)
		r.History = r.History[max(0, len(r.History)-HistoryMost):]
	}
	r.Last = &result
}

// Blocked is a release that this host refuses. Either of digest and root hash
// may be missing, not both.
type Blocked struct {
	Release  manifests.Digest   `json:"release,omitzero"`
	RootHash manifests.HexBytes `json:"rootHash,omitempty"`
	Version  manifests.Version  `json:"version,omitempty"`
	Reason   string             `json:"reason,omitempty"`
	When     time.Time          `json:"when"`
}

// ReasonMost is the longest reason, in bytes, that a record keeps.
const ReasonMost = 200

// Reason makes text fit into a record: one line, printable, at most ReasonMost
// bytes.
func Reason(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) { // some terminals obey U+009B as they do ESC [
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= ReasonMost {
		return text
	}
	const more = "…"
	text = text[:ReasonMost-len(more)]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + more
}

// Block adds b in place of what was known of the same release.
func (r *Record) Block(b Blocked) {
	r.Unblock(b.Release, b.RootHash)
	r.Blocked = append(r.Blocked, b)
}

// Unblock lifts what blocks a release, by digest or by root hash.
func (r *Record) Unblock(release manifests.Digest, rootHash manifests.HexBytes) {
	var kept []Blocked
	for _, b := range r.Blocked {
		if !b.matches(release, rootHash) {
			kept = append(kept, b)
		}
	}
	r.Blocked = kept
}

// BlockOf is the entry that blocks a release, known by its digest or by its
// root hash; a zero digest and an empty root hash match nothing.
func (r *Record) BlockOf(release manifests.Digest, rootHash manifests.HexBytes) (Blocked, bool) {
	for _, b := range r.Blocked {
		if b.matches(release, rootHash) {
			return b, true
		}
	}
	return Blocked{}, false
}

func (b Blocked) matches(release manifests.Digest, rootHash manifests.HexBytes) bool {
	return !release.IsZero() && b.Release == release ||
		len(rootHash) > 0 && string(b.RootHash) == string(rootHash)
}

const blockedLeast = 8

var errTooLong = errors.New("journal: record is too long")

// fit is the record as JSON of at most limit bytes. What goes first when it
// is too long is the history, oldest first, then the reasons of the oldest blocked
// releases, then the oldest of these releases themselves, which by then are
// older than what runs. The newest of them stays: it is the one that failed a
// moment ago. Its reason goes before there are fewer than blockedLeast.
func (r Record) fit(limit int) ([]byte, error) {
	r.Blocked = append([]Blocked(nil), r.Blocked...)
	stripped := 0
	for {
		raw, err := compact(r)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		switch {
		case len(raw) <= limit:
			return raw, nil
		case len(r.History) > 0:
			r.History = r.History[1:]
		case stripped < len(r.Blocked)-1, stripped < len(r.Blocked) && len(r.Blocked) <= blockedLeast:
			r.Blocked[stripped].Reason = ""
			stripped++
		case len(r.Blocked) > 1:
			r.Blocked = r.Blocked[1:]
			stripped--
		default:
			return nil, fmt.Errorf("%w: %d bytes, want at most %d", errTooLong, len(raw), limit)
		}
	}
}

// compact is JSON without the escapes for HTML, six bytes for one.
func compact(r Record) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(r)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

// check refuses what no agent of any version writes. A phase that is not known
// here is kept: a newer agent may have more.
func (r Record) check() error {
	if r.Offset < 0 || r.Tries < 0 {
		return fmt.Errorf("journal: offset %d, tries %d: want neither below 0", r.Offset, r.Tries)
	}
	if r.Phase == "" {
		return fmt.Errorf("journal: record without a phase")
	}
	targets := []*Target{r.Target}
	for _, release := range r.Releases {
		targets = append(targets, &release)
	}
	for _, target := range targets {
		if target != nil && target.Slot != partitions.SlotA && target.Slot != partitions.SlotB {
			return fmt.Errorf("journal: release %q without a slot", target.Version)
		}
	}
	return nil
}
