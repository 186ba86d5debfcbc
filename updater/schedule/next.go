package schedule

import "time"

// Next is the first moment after the given one, or the zero time if there is
// none. A time of day that the clocks skip on a day is not met on that day; one
// that they show twice is met the first time only, as by systemd.
func (e Expression) Next(after time.Time) time.Time { return e.next(after, false) }

// next is Next; with late, a time that is skipped is met when the clocks have
// been put forward.
func (e Expression) next(after time.Time, late bool) time.Time {
	after = after.In(e.zone)
	for w := wall(after, e.zone); ; {
		var found bool
		if w, found = e.seek(w.Add(time.Second), +1); !found {
			return time.Time{}
		}
		if t, shown := instant(w, e.zone); (shown || late) && t.After(after) {
			return t
		}
	}
}

// previousSince is the last moment at or before t, or the zero time if there is
// none, without a look at what is long before since. What is asked for a thousand
// times must not go back to the first year each time.
func (e Expression) previousSince(t, since time.Time, late bool) time.Time {
	const margin = 3 // days, more than any clock was ever set by
	e.from = since.AddDate(0, 0, -margin)
	t = t.In(e.zone)
	w := wall(t, e.zone)
	// After the clocks were put back they have shown later times already.
	if since, _ := t.ZoneBounds(); putBack(t) > 0 {
		if latest := wall(since.Add(-time.Second), e.zone); latest.After(w) {
			w = latest
		}
	}
	for {
		var found bool
		if w, found = e.seek(w, -1); !found {
			return time.Time{}
		}
		if m, shown := instant(w, e.zone); (shown || late) && !m.After(t) {
			return m
		}
		w = w.Add(-time.Second)
	}
}

// seek is the nearest wall time of the expression from w on, w included, forward
// (+1) or backward (-1).
func (e Expression) seek(w time.Time, direction int) (time.Time, bool) {
	day := time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, time.UTC)
	hour, minute, second := w.Clock()
	for day.Year() >= firstYear && day.Year() <= lastYear && !day.Before(e.from) {
		if e.onDay(day) {
			if clock, found := e.seekClock(hour, minute, second, direction); found {
				return day.Add(clock), true
			}
		}
		day = e.nextDay(day, direction)
		hour, minute, second = edge(24, direction), edge(60, direction), edge(60, direction)
	}
	return time.Time{}, false
}

// nextDay skips what is not in the sets of years and months.
func (e Expression) nextDay(day time.Time, direction int) time.Time {
	year, month, _ := day.Date()
	inYear, inMonth := e.years.has(year), e.months.has(int(month))
	switch {
	case inYear && inMonth:
		return day.AddDate(0, 0, direction)
	case inYear && direction > 0:
		return time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
	case inYear:
		return time.Date(year, month, 0, 0, 0, 0, 0, time.UTC)
	case direction > 0:
		return time.Date(year+1, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(year-1, time.December, 31, 0, 0, 0, 0, time.UTC)
}

func (e Expression) onDay(day time.Time) bool {
	year, month, number := day.Date()
	if e.fromEnd {
		number = time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day() - number + 1
	}
	return e.years.has(year) && e.months.has(int(month)) && e.days.has(number) && e.weekdays.has(int(day.Weekday()))
}

// seekClock is the nearest time of day from the given one on.
func (e Expression) seekClock(hour, minute, second, direction int) (time.Duration, bool) {
	for ; hour >= 0 && hour < 24; hour += direction {
		if e.hours.has(hour) {
			for ; minute >= 0 && minute < 60; minute += direction {
				if e.minutes.has(minute) {
					for ; second >= 0 && second < 60; second += direction {
						if e.seconds.has(second) {
							return time.Duration(hour*3600+minute*60+second) * time.Second, true
						}
					}
				}
				second = edge(60, direction)
			}
		}
		minute, second = edge(60, direction), edge(60, direction)
	}
	return 0, false
}

// edge is where counting below most begins in a direction.
func edge(most, direction int) int {
	if direction > 0 {
		return 0
	}
	return most - 1
}
