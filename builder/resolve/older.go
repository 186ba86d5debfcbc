package resolve

import (
	"fmt"
	"strconv"
	"time"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/manifests"
)

// OlderError says that a repository is older than it was when it was locked:
// somebody may keep updates back by showing what was signed long ago.
type OlderError struct {
	URL, Suite string
	Was, Is    string // the dates
}

// Error names both dates.
func (e *OlderError) Error() string {
	name := e.URL
	if e.Suite != "" {
		name += " " + e.Suite
	}
	return fmt.Sprintf("repository %s is of %.100s: the lock has seen it at %.100s, which is newer", name, e.Is, e.Was)
}

// refuseOlder compares repositories with what any source of the previous lock
// has seen of them.
func (r *resolver) refuseOlder(found []manifests.LockedRepository) error {
	if r.AllowOlder {
		return nil
	}
	for _, now := range found {
		is, ok := ageOf(now)
		for _, in := range r.Previous.Inputs {
			for _, before := range in.Repositories {
				if before.URL != now.URL || before.Suite != now.Suite {
					continue
				}
				if was, known := ageOf(before); ok && known && is.number < was.number {
					return &OlderError{now.URL, now.Suite, was.text, is.text}
				}
			}
		}
	}
	return nil
}

// age orders the states of one repository.
type age struct {
	number int64
	text   string // for people
}

// ageOf is not known where a repository does not number its states.
func ageOf(r manifests.LockedRepository) (age, bool) {
	if r.Suite != "" {
		made, err := deb.Made(r)
		return age{made.Unix(), made.Format(time.RFC3339)}, err == nil
	}
	number, err := strconv.ParseInt(r.Revision, 10, 64)
	a := age{number, "revision " + r.Revision}
	// createrepo_c numbers states by the clock, unless it is told otherwise.
	const from, to = 1_000_000_000, 10_000_000_000
	if from <= number && number < to {
		a.text += " (" + time.Unix(number, 0).UTC().Format(time.RFC3339) + ")"
	}
	return a, err == nil && number >= 0
}
