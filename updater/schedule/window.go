package schedule

import (
	"fmt"
	"time"
)

// Window is a stretch of time that begins whenever its expression says. Its
// length is time that passes, whatever the clocks are put to meanwhile.
type Window struct {
	Start  Expression
	Length time.Duration // ShortestWindow to LongestWindow
}

// The lengths that a window may have.
const (
	ShortestWindow = time.Minute
	LongestWindow  = 7 * 24 * time.Hour
)

// ParseWindow makes a window. The time zone is one of LoadZone; empty means the
// one that start names, or else the host's.
func ParseWindow(start string, length time.Duration, timezone string) (Window, error) {
	if length < ShortestWindow || length > LongestWindow {
		return Window{}, fmt.Errorf("window of length %s: want %s to %s", length, ShortestWindow, LongestWindow)
	}
	zone := time.Local
	if timezone != "" {
		var err error
		if zone, err = LoadZone(timezone); err != nil {
			return Window{}, err
		}
	}
	e, err := Parse(start, zone)
	if err != nil {
		return Window{}, err
	}
	if timezone != "" && e.zone.String() != zone.String() {
		return Window{}, fmt.Errorf("window %.80q is in time zone %s: want that, or timezone %s, but not both", start, e.zone, zone)
	}
	return Window{e, length}, nil
}

// String is the window for people.
func (w Window) String() string {
	return fmt.Sprintf("%s for %s (%s)", w.Start, w.Length, w.Start.zone)
}

// Windows are times at which something may be done. They may overlap. None at
// all means always.
type Windows []Window

// Open reports whether t is in one of the windows. A window holds the moment at
// which it begins and not the one at which it ends.
func (ws Windows) Open(t time.Time) bool {
	return len(ws) == 0 || ws.end(t).After(t)
}

// end is the latest end of the windows that have begun at t.
func (ws Windows) end(t time.Time) (end time.Time) {
	for _, w := range ws {
		// A day without that time of day has its window as well, a little later.
		if start := w.Start.previousSince(t, t.Add(-w.Length), true); !start.IsZero() && start.Add(w.Length).After(end) {
			end = start.Add(w.Length)
		}
	}
	return end
}

// Opening is the first moment from t on that is in a window: t itself when that
// is. It is the zero time if there is none.
func (ws Windows) Opening(t time.Time) (opening time.Time) {
	if ws.Open(t) {
		return t
	}
	for _, w := range ws {
		if start := w.Start.next(t, true); !start.IsZero() && (opening.IsZero() || start.Before(opening)) {
			opening = start
		}
	}
	return opening
}

// Closing is the first moment after t that is in no window. It is the zero time
// if there is none within 1,000 windows that follow each other.
func (ws Windows) Closing(t time.Time) time.Time {
	if len(ws) == 0 {
		return time.Time{}
	}
	for range 1000 {
		end := ws.end(t)
		if !end.After(t) {
			return t
		}
		t = end
	}
	return time.Time{}
}
