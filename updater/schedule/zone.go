package schedule

import (
	"fmt"
	"strings"
	"time"
)

// LoadZone is the time zone with a name of the IANA database, such as
// Europe/Berlin, or UTC, as this host knows it.
func LoadZone(name string) (*time.Location, error) {
	if strings.EqualFold(name, "UTC") {
		return time.UTC, nil
	}
	if name == "" || name == "Local" || len(name) > longest {
		return nil, fmt.Errorf("time zone %.40q: want a name such as Europe/Berlin, or UTC", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %.40q is not known on this host: want a name such as Europe/Berlin; is the package tzdata in the image?", name)
	}
	return zone, nil
}

// wall is what the clocks of a place show at t, as a time in UTC.
func wall(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// instant is the first moment at which the clocks of a place show w. When they
// never do, because they are put forward over it, it is the moment at which
// that happens, and shown is false.
func instant(w time.Time, zone *time.Location) (t time.Time, shown bool) {
	t = time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, zone)
	since, until := t.ZoneBounds()
	switch got := wall(t, zone); {
	case got.After(w):
		return since, false
	case got.Before(w):
		return until, false
	}
	if back := putBack(t); back > 0 {
		if earlier := t.Add(-back); earlier.Before(since) {
			return earlier, true
		}
	}
	return t, true
}

// putBack is by how much the clocks were put back at the latest change before
// t; it is negative if they were put forward.
func putBack(t time.Time) time.Duration {
	since, _ := t.ZoneBounds()
	if since.IsZero() {
		return 0
	}
	_, now := t.Zone()
	_, before := since.Add(-time.Second).Zone()
	return time.Duration(before-now) * time.Second
}
