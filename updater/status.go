package updater

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/updater/extensions"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
)

// StatusSchema is the version of what Status looks like as JSON. Fields may be
// added to one; those there are stay.
const StatusSchema = 1

// Status is how the host stands.
type Status struct {
	Schema      int             `json:"schema"` // StatusSchema
	Product     string          `json:"product"`
	Arch        manifests.Arch  `json:"arch"`
	Channel     string          `json:"channel"`
	Running     Running         `json:"running"`
	Committed   partitions.Slot `json:"committed"` // the slot that leads
	BootControl string          `json:"bootControl"`
	Pending     *Pending        `json:"pending,omitempty"`
	Phase       journal.Phase   `json:"phase"`
	Installing  *Installing     `json:"installing,omitempty"`
	Available   *Available      `json:"available,omitempty"`
	NotAsked    string          `json:"notAsked,omitempty"` // why Available is missing

	Last       *journal.Result   `json:"last,omitempty"`    // the newest trial
	History    []journal.Result  `json:"history,omitempty"` // those before it, oldest first
	RetryAfter *time.Time        `json:"retryAfter,omitempty"`
	WatchUntil *time.Time        `json:"watchUntil,omitempty"`
	Blocked    []journal.Blocked `json:"blocked,omitempty"`

	// VarSealed says that /var is encrypted, and that the TPM opened it.
	VarSealed bool `json:"varSealed,omitempty"`
	// FactoryReset is when one was asked for that the next boot does.
	FactoryReset *time.Time `json:"factoryReset,omitempty"`

	// Extensions are those of the running release.
	Extensions []extensions.Standing `json:"extensions,omitempty"`

	// Degraded is why the machine could not survive as much as it should.
	Degraded string   `json:"degraded,omitempty"`
	Problems []string `json:"problems,omitempty"`
	// Agent is what the daemon says of itself; nil when none runs.
	Agent json.RawMessage `json:"agent,omitempty"`
}

// Installing is an update that was begun and is not on trial yet.
type Installing struct {
	Slot    partitions.Slot   `json:"slot"`
	Version manifests.Version `json:"version"`
	Release manifests.Digest  `json:"release"`
	Tries   int               `json:"tries"` // trials that were begun
}

// Running is the release that runs.
type Running struct {
	Version       manifests.Version  `json:"version"`
	Slot          partitions.Slot    `json:"slot"`
	Standing      string             `json:"standing"` // committed, trial, failed or visiting
	Since         *time.Time         `json:"since,omitempty"`
	RootHash      manifests.HexBytes `json:"rootHash"`
	SecurityEpoch uint64             `json:"securityEpoch"`
	Armed         *time.Time         `json:"armed,omitempty"` // when its trial was, while that runs
	Try           int                `json:"try,omitempty"`   // which of its trials runs
}

// Pending is a trial that the next boot begins.
type Pending struct {
	Slot    partitions.Slot   `json:"slot"`
	Version manifests.Version `json:"version,omitempty"` // empty when the journal does not know
}

// Available is what the channel names.
type Available struct {
	Version  manifests.Version `json:"version"`
	Release  manifests.Digest  `json:"release"`
	News     bool              `json:"news"`              // newer than what runs, and not refused
	Refused  string            `json:"refused,omitempty"` // why it would not be installed
	Download int64             `json:"download"`          // bytes at the most
	Size     int64             `json:"size"`              // bytes of the root image
	Told                       // what the publisher says of it
	Kept                       // what it would mean for /etc and /var
	Notes    []string          `json:"notes,omitempty"` // what Check did beside looking
}

// Status reads how the host stands. With online it also asks the repository,
// whose silence is no error.
func (u *Updater) Status(ctx context.Context, online bool) (Status, error) {
	s, err := u.open(false)
	if err != nil {
		return Status{}, err
	}
	defer s.close()
	status := s.status()
	if !online {
		status.NotAsked = "not asked"
		return status, nil
	}
	status.Available, err = s.available(ctx)
	if err != nil {
		status.NotAsked = err.Error()
	} else if r := status.Available.RunningRetracted; r != nil {
		status.Problems = append(status.Problems, fmt.Sprintf("the running %s was %s", status.Running.Version, r))
	}
	return status, nil
}

// statusPatience is how long a status waits for the repository.
const statusPatience = 5 * time.Second

// available asks the repository unless another agent is at it.
func (s *session) available(ctx context.Context) (*Available, error) {
	if err := s.lock(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, statusPatience, errors.New("the repository did not answer in time"))
	defer cancel()
	found, err := s.check(ctx)
	var refusal *Refusal
	switch {
	case err == nil, found.Refused != "" && errors.As(err, &refusal):
		return &found, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, err
}

func (s *session) status() Status {
	standing := s.standing()
	status := Status{
		Schema:  StatusSchema,
		Product: s.facts.Image.Product,
		Arch:    s.facts.Image.Arch,
		Channel: s.Settings.Channel,
		Running: Running{
			Version:       s.facts.Image.Version,
			Slot:          s.facts.Slot,
			Standing:      string(standing),
			RootHash:      s.facts.Root.Hash[:],
			SecurityEpoch: s.facts.Image.SecurityEpoch,
		},
		Committed:    s.boot.Committed,
		BootControl:  s.control.Name(),
		Phase:        s.record.Phase,
		Last:         s.record.Last,
		History:      s.record.History,
		RetryAfter:   s.retryAfter(),
		Blocked:      s.record.Blocked,
		VarSealed:    s.startNote().VarSealed,
		FactoryReset: s.factoryReset(),
		Degraded:     s.degraded(standing),
		Problems:     s.problems(),
		Agent:        daemonSays(s.host.Run),
	}
	if known := s.release(s.facts.Slot); standing == lifecycle.Settled && known != nil && sameRoot(known.RootHash, status.Running.RootHash) {
		status.Running.Since = s.record.CommittedSince
	}
	if standing == lifecycle.Trial {
		status.Running.Armed, status.Running.Try = s.record.ArmedAt, s.record.Tries
	}
	all, err := s.extensionStandings()
	status.Extensions, status.Problems = all, append(status.Problems, extensionProblems(all, err)...)
	if s.watched() {
		status.WatchUntil = s.record.WatchUntil
	}
	target := s.record.Target
	if s.boot.Armed != 0 && s.boot.Armed != s.facts.Slot {
		status.Pending = &Pending{Slot: s.boot.Armed}
		if target != nil && target.Slot == s.boot.Armed {
			status.Pending.Version = target.Version
		}
	}
	switch s.record.Phase {
	case journal.Clearing, journal.Writing, journal.Verified:
		if target != nil && status.Pending == nil {
			status.Installing = &Installing{Slot: target.Slot, Version: target.Version, Release: target.Release, Tries: s.record.Tries}
		}
	}
	return status
}

// degraded is why the machine could not survive as much as it should, as far
// as that is known without reading the slots.
func (s *session) degraded(standing lifecycle.Standing) string {
	here, other, start := s.facts.Slot, s.facts.Slot.Other(), s.startNote()
	switch {
	case start.Fallbacks > 0 && here != s.boot.Committed:
		return fmt.Sprintf("slot %s leads and could not be booted, %s: slot %s stands in for it", s.boot.Committed, times(start.Fallbacks), here)
	case start.Damaged:
		return fmt.Sprintf("slot %s runs and is damaged, and there was no other to boot", here)
	case standing == lifecycle.Settled && s.release(other) != nil && !s.boot.Has(other):
		return fmt.Sprintf("slot %s led before, but its kernel image is gone: there is nothing to go back to", other)
	}
	return ""
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times in a row", n)
}

// daemonSays is what the daemon writes to agent.json while it runs. One that was
// killed leaves its file behind: then none runs.
func daemonSays(run string) json.RawMessage {
	text, err := regular.Read(filepath.Join(run, "agent.json"), 64<<10)
	var daemon struct {
		PID int `json:"pid"`
	}
	if err != nil || json.Unmarshal(text, &daemon) != nil {
		return nil
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", daemon.PID)); err != nil {
		return nil
	}
	return text
}

// Check asks the repository what the channel names. What must not be installed
// is a *Refusal, together with what was found. It writes nothing but trusted metadata,
// with one exception: an update that was begun, and whose release is retracted by
// now, is cancelled, so that no boot tries it.
func (u *Updater) Check(ctx context.Context) (Available, error) {
	s, err := u.open(true) // trusted metadata has one user at a time
	if err != nil {
		return Available{}, err
	}
	defer s.close()
	found, err := s.check(ctx)
	if w := found.withdrawn; w != nil {
		recovered, failed := s.recover(ctx)
		if failed == nil {
			found.Notes, failed = s.withdraw(w)
		}
		if found.Notes = append(recovered, found.Notes...); failed != nil {
			err = failed
		}
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) { // which each look would tell of again
		u.emitFailure(ctx, "check", err)
	}
	return found, err
}

func (s *session) check(ctx context.Context) (Available, error) {
	o, err := s.resolve(ctx)
	if err != nil {
		return Available{}, err
	}
	found := Available{
		Version:  o.Release.Version,
		Release:  o.Digest,
		Download: o.download(s.facts.Root.Hash[:]),
		Size:     o.Root.Size(),
		Told:     o.told,
	}
	found.News, err = s.isNews(o)
	if err == nil && found.News {
		err = s.mayRetry(o)
	}
	if err == nil && found.News {
		found.Kept, err = s.weigh(ctx, o)
	}
	if err == nil {
		var missing []manifests.Extension
		missing, err = s.missingExtensions(found.extensions)
		found.Download += s.extensionStore().Space(missing)
	}
	var refusal *Refusal
	if errors.As(err, &refusal) {
		found.News, found.Refused = false, err.Error()
	} else if err != nil {
		return Available{}, err
	}
	return found, err
}

// WentBack reports whether the newest trial did not end well: what a release
// that failed must never be silent about.
func WentBack(last *journal.Result) bool {
	return last != nil && last.Outcome == journal.WentBack
}

func lastReason(last *journal.Result) string {
	if last == nil {
		return ""
	}
	return last.Reason
}
