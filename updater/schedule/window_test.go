package schedule

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	check(t, err)
	return parsed
}

func window(t testing.TB, start string, length time.Duration, zone string) Window {
	t.Helper()
	w, err := ParseWindow(start, length, zone)
	check(t, err)
	return w
}

func TestExpressionsComeAtTheFirstOfTheSecondsThatMatch(t *testing.T) {
	t.Parallel()
	for _, place := range []struct{ zone, day string }{
		{"Australia/Lord_Howe", "2026-04-04T12:00:00Z"}, // half an hour back
		{"Australia/Lord_Howe", "2026-10-03T12:00:00Z"}, // half an hour forward
		{"Pacific/Chatham", "2026-09-26T12:00:00Z"},
		{"Pacific/Apia", "2011-12-30T08:00:00Z"}, // a day that is not
		{"America/Sao_Paulo", "2018-11-04T01:00:00Z"},
		{"America/Sao_Paulo", "2018-02-18T00:00:00Z"}, // 23:00 to 24:00 twice
		{"Europe/Berlin", "2026-10-24T22:00:00Z"},
		{"Africa/Monrovia", "1972-01-07T00:00:00Z"}, // by 44 minutes and 30 seconds
	} {
		zone, err := LoadZone(place.zone)
		check(t, err)
		begin := at(t, place.day)
		shown := map[time.Time]bool{} // what the clocks have shown since the day before
		var first []time.Time         // the moments after begin at which they showed something new
		for now := begin.Add(-24 * time.Hour); now.Before(begin.Add(10 * time.Hour)); now = now.Add(time.Second) {
			if face := wall(now, zone); !shown[face] {
				if shown[face] = true; now.After(begin) {
					first = append(first, now.In(zone))
				}
			}
		}
		for _, text := range []string{"*:0/15", "hourly", "00:00", "02:10:30", "0,23:1", "0..3:0/7"} {
			e, err := Parse(text, zone)
			check(t, err)
			next := e.Next(begin)
			for _, now := range first {
				if hour, minute, second := now.Clock(); !e.hours.has(hour) || !e.minutes.has(minute) || !e.seconds.has(second) {
					continue
				}
				if !next.Equal(now) {
					t.Fatalf("%q in %s: %s comes after %s", e, place.zone, next, now)
				}
				if p := e.previousSince(now, time.Time{}, false); !p.Equal(now) {
					t.Fatalf("%q in %s: %s came last at %s", e, place.zone, p, now)
				}
				next = e.Next(next)
			}
		}
	}
}

func TestWindows(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	weekend := Windows{window(t, "Sat,Sun 02:00", 2*hour, "Europe/Berlin")}
	midnight := Windows{window(t, "Fri 23:00", 2*hour, "UTC")}
	overlapping := Windows{window(t, "01:00", 2*hour, "UTC"), window(t, "02:00 UTC", 3*hour, ""), window(t, "05:00", hour, "UTC")}
	skipped := Windows{window(t, "02:30", hour, "Europe/Berlin")}
	late := Windows{window(t, "02:50", hour/2, "Europe/Berlin")}
	for _, c := range []struct {
		name             string
		windows          Windows
		now              string
		opening, closing string // closing is empty for a closed window
	}{
		{"none is always open", nil, "2026-11-25T12:00:00Z", "2026-11-25T12:00:00Z", "0001-01-01T00:00:00Z"},
		{"closed until Saturday", weekend, "2026-11-25T12:00:00Z", "2026-11-28T01:00:00Z", ""},
		{"open from its first second", weekend, "2026-11-28T01:00:00Z", "2026-11-28T01:00:00Z", "2026-11-28T03:00:00Z"},
		{"a nanosecond before", weekend, "2026-11-28T00:59:59.999999999Z", "2026-11-28T01:00:00Z", ""},
		{"open to its last nanosecond", weekend, "2026-11-28T02:59:59.999999999Z", "2026-11-28T02:59:59.999999999Z", "2026-11-28T03:00:00Z"},
		{"closed at its end", weekend, "2026-11-28T03:00:00Z", "2026-11-29T01:00:00Z", ""},
		{"across midnight", midnight, "2026-11-28T00:30:00Z", "2026-11-28T00:30:00Z", "2026-11-28T01:00:00Z"},
		{"overlapping ones are one", overlapping, "2026-11-28T01:30:00Z", "2026-11-28T01:30:00Z", "2026-11-28T06:00:00Z"},
		{"overlapping ones end", overlapping, "2026-11-28T06:00:00Z", "2026-11-29T01:00:00Z", ""},
		// Clocks go from 02:00 to 03:00 at 01:00Z.
		{"a start that does not exist opens when the clocks are put", skipped, "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z", ""},
		{"and stays open for its length", skipped, "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		{"a length is time that passes, spring", weekend, "2026-03-29T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T03:00:00Z"},
		// Clocks go from 03:00 to 02:00 at 01:00Z: 02:00 is at 00:00Z and at 01:00Z.
		{"a start that exists twice opens once", weekend, "2026-10-25T00:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"},
		{"the clocks were put back inside a window", late, "2026-10-25T01:10:00Z", "2026-10-25T01:10:00Z", "2026-10-25T01:20:00Z"},
		{"and not a second time", skipped, "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z", ""},
	} {
		now := at(t, c.now)
		if open := c.windows.Open(now); open != (c.closing != "") {
			t.Errorf("%s: open at %s: %v", c.name, now, open)
		}
		if got := c.windows.Opening(now); !got.Equal(at(t, c.opening)) {
			t.Errorf("%s: opens at %s, want %s", c.name, got.UTC(), c.opening)
		}
		if c.closing == "" {
			c.closing = c.now
		}
		if got := c.windows.Closing(now); !got.Equal(at(t, c.closing)) {
			t.Errorf("%s: closes at %s, want %s", c.name, got.UTC(), c.closing)
		}
	}
}

func TestWindowsThatNeverEndAndNeverCome(t *testing.T) {
	now := at(t, "2026-11-25T12:00:00Z")
	if closing := (Windows{window(t, "minutely", time.Hour, "")}).Closing(now); !closing.IsZero() {
		t.Errorf("windows without gaps close at %s", closing)
	}
	never := Windows{window(t, "*-02-30", time.Hour, ""), window(t, "2020-01-01", time.Hour, "")}
	if opening := never.Opening(now); !opening.IsZero() || never.Open(now) {
		t.Errorf("a day that never comes opens at %s", opening)
	}
}

// TestAWindowIsNotLookedForInAllOfThePast: with 32 windows that never end and
// never come, one look took eleven seconds.
func TestAWindowIsNotLookedForInAllOfThePast(t *testing.T) {
	now := at(t, "2026-11-25T12:00:00Z")
	for _, c := range []struct {
		text  string
		since time.Duration
		found bool
	}{{"*-01-01", time.Hour, false}, {"11-20", 7 * 24 * time.Hour, true}, {"11-25 12:00", 0, true}, {"*-11-25 11:00", time.Hour, true}} {
		e, err := Parse(c.text, time.UTC)
		check(t, err)
		if found := e.previousSince(now, now.Add(-c.since), true); found.IsZero() == c.found {
			t.Errorf("%s, not before %s ago: %s", e, c.since, found)
		}
	}
}

// TestWindowsAgreeWithEachMinute holds windows against the stretches that
// systemd's moments begin.
func TestWindowsAgreeWithEachMinute(t *testing.T) {
	t.Parallel()
	base := at(t, "2026-10-20T00:00:00Z")
	starts := []string{"*-*-* 01,13:30", "Mon..Fri 22:15", "Sat 05:00", "Sun *-*-25..31 23:45"}
	lengths := []time.Duration{25 * time.Minute, 3 * time.Hour, 20 * time.Hour, 30 * time.Minute}
	all := systemd(t, "America/New_York", base, starts)
	var windows Windows
	until := base.Add(48 * time.Hour)
	for i, start := range starts {
		windows = append(windows, window(t, start, lengths[i], "America/New_York"))
	}
	for now := base.Add(20 * time.Hour); now.Before(until); now = now.Add(time.Minute) {
		want := false
		for i, answer := range all {
			want = want || slices.ContainsFunc(answer.moments, func(m time.Time) bool { return !now.Before(m) && now.Before(m.Add(lengths[i])) })
		}
		if windows.Open(now) != want {
			t.Fatalf("open at %s: %v", now, !want)
		}
		opening := windows.Opening(now)
		if want != opening.Equal(now) || !windows.Open(opening) || windows.Open(opening.Add(-time.Second)) && !want {
			t.Fatalf("at %s it opens at %s", now, opening)
		}
		if closing := windows.Closing(now); want && (windows.Open(closing) || !windows.Open(closing.Add(-time.Second))) {
			t.Fatalf("at %s it closes at %s", now, closing)
		}
	}
}

func TestBadWindowsAreNamed(t *testing.T) {
	for _, c := range []struct {
		start    string
		length   time.Duration
		zone     string
		wantPart string
	}{
		{"daily", time.Second, "", "window of length 1s: want 1m0s to 168h0m0s"},
		{"daily", 169 * time.Hour, "", "want 1m0s to 168h0m0s"},
		{"daily", time.Hour, "Mars/Olympus", `time zone "Mars/Olympus" is not known on this host`},
		{"daily Mars/Olympus", time.Hour, "", `time zone "Mars/Olympus" is not known on this host`},
		{"daily UTC", time.Hour, "Europe/Berlin", "but not both"},
		{"daily", time.Hour, "../../etc/passwd", "is not known"},
		{"Fri..Mon 01:00", time.Hour, "", `weekdays "Fri..Mon": the range ends before it begins`},
		{"25:00", time.Hour, "", `calendar expression "25:00": hour "25": want * or numbers from 0 to 23`},
		{"12:00:00.5", time.Hour, "", `second "0.5"`},
		{strings.Repeat("1", 300), time.Hour, "", "of 300 bytes: want at most 256"},
	} {
		_, err := ParseWindow(c.start, c.length, c.zone)
		if err == nil || !strings.Contains(strings.Replace(err.Error(), `"00.5"`, `"0.5"`, 1), c.wantPart) {
			t.Errorf("%.40q, %s, %q: error %v, want %q", c.start, c.length, c.zone, err, c.wantPart)
		}
	}
}

func TestHostsDoNotAskAtOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pace := Pace{Every: time.Hour, Jitter: 10 * time.Minute, Random: r.Int64N}
	const hosts, slots = 10_000, 10
	var first, next [slots + 1]int
	for range hosts {
		a, b := pace.First(), pace.Next()-pace.Every
		if a < 0 || a > pace.Jitter || b < 0 || b > pace.Jitter {
			t.Fatalf("waits %s and %s: want 0 to %s more", a, b, pace.Jitter)
		}
		first[a*slots/pace.Jitter]++
		next[b*slots/pace.Jitter]++
	}
	for i := range slots {
		if first[i] < hosts/slots*8/10 || next[i] < hosts/slots*8/10 {
			t.Errorf("minute %d: %d hosts ask after a start, %d later, of %d", i, first[i], next[i], hosts)
		}
	}
	pace.Jitter = 0
	if pace.First() != 0 || pace.Next() != time.Hour {
		t.Error("there is jitter without any being configured")
	}
}

func TestBackoffDoublesToItsBoundAndIsResetBySuccess(t *testing.T) {
	least := func(n int64) int64 { return 0 } // nothing is taken off
	b := Backoff{First: time.Minute, Most: 7 * time.Minute, Random: least}
	for i, want := range []time.Duration{1, 2, 4, 7, 7, 7} {
		if got := b.Failed(0); got != want*time.Minute {
			t.Errorf("wait %d: %s, want %dm", i, got, want)
		}
	}
	for range 100 {
		b.Failed(0) // no overflow
	}
	if got := b.Failed(time.Hour); got != time.Hour {
		t.Errorf("the server asked for an hour, wait %s", got)
	}
	if got := b.Failed(1000 * time.Hour); got != LongestAsked {
		t.Errorf("the server asked for 1000 hours, wait %s", got)
	}
	b.Succeeded()
	if got := b.Failed(time.Second); got != time.Minute || b.Failures() != 1 {
		t.Errorf("after a success the wait is %s", got)
	}
	b.Random = func(n int64) int64 { return n - 1 }
	if got := b.Failed(0); got != time.Minute {
		t.Errorf("with the most luck the second wait is %s, want half of 2m", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"Sat,Sun 02:00", "Mon *-05~07/1 Europe/Berlin", "weekly UTC", "2026..2030/2-*/1-1,3..5 *:0/15:30", "*-02-30"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text, time.UTC)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Errorf("%q: error with control characters", text)
			}
			return
		}
		now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
		next := e.Next(now)
		if next.IsZero() {
			return
		}
		if !next.After(now) || !e.previousSince(next, time.Time{}, false).Equal(next) || e.previousSince(next.Add(-time.Second), time.Time{}, false).After(now) {
			t.Errorf("%q: next after %s is %s", text, now, next)
		}
		if again, err := Parse(e.String(), time.UTC); err != nil || !again.Next(now).Equal(next) {
			t.Errorf("%q does not mean the same when it is read again: %v", text, err)
		}
	})
}
