package updater

import (
	"time"

	"github.com/proa-os/proa/updater/journal"
)

// retryMost is the longest time between two trials of the same release.
const retryMost = 24 * time.Hour

// retryPause is how long a release rests after its n-th trial without a
// verdict: RetryPause, twice that, four times that, up to retryMost.
func (u *Updater) retryPause(n int) time.Duration {
	pause := time.Duration(u.Settings.RetryPause)
	for range n - 1 {
		if pause >= retryMost {
			break
		}
		pause *= 2
	}
	return min(pause, retryMost)
}

// retryAfter is when the journal's target may be tried again, nil when it may
// now. A time that is further away than the pause it stands for comes from
// before the clock was set back, and holds nobody up.
func (s *session) retryAfter() *time.Time {
	after := s.record.RetryAfter
	if after == nil || s.record.Phase != journal.Verified {
		return nil
	}
	left := after.Sub(s.now())
	if left <= 0 || left > s.retryPause(s.record.Tries) {
		return nil
	}
	return after
}

// mayRetry refuses a release that came back without a verdict a moment ago.
func (s *session) mayRetry(o offer) error {
	after, target := s.retryAfter(), s.record.Target
	if after == nil || target == nil || target.Release != o.Digest {
		return nil
	}
	return refuse(o.Release.Version, "it came back without a verdict, trial %d of %d: the next one is not before %s",
		s.record.Tries, s.Settings.Trials, after.Format("2006-01-02 15:04:05 MST"))
}
