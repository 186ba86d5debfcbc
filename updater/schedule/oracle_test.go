package schedule

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// moments is how many moments of each expression are compared.
const moments = 6

// answer is what systemd-analyze says of an expression.
type answer struct {
	accepted bool
	lost     bool        // it gave up looking, which happens to it
	moments  []time.Time // after the base
}

// systemd is what systemd-analyze says of expressions in one time zone.
func systemd(t testing.TB, zone string, base time.Time, expressions []string) []answer {
	t.Helper()
	args := []string{"calendar", fmt.Sprint("--iterations=", moments), "--base-time=" + base.UTC().Format("2006-01-02 15:04:05 UTC"), "--"}
	cmd := exec.Command("systemd-analyze", append(args, expressions...)...)
	cmd.Env = append(os.Environ(), "TZ="+zone, "LC_ALL=C")
	out, err := cmd.CombinedOutput() // it fails if one of them is not accepted
	if len(out) == 0 {
		t.Fatalf("systemd-analyze: %v", err)
	}
	var all []answer
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case strings.HasPrefix(line, "Failed to parse"):
			all = append(all, answer{})
		case strings.HasPrefix(line, "Failed to determine next elapse"):
			all = append(all, answer{accepted: true, lost: true})
		case name == "Normalized form":
			all = append(all, answer{accepted: true})
		case name == "(in UTC)", zone == "UTC" && (name == "Next elapse" || strings.HasPrefix(name, "Iter")) && value != "never":
			at, err := time.Parse("Mon 2006-01-02 15:04:05 UTC", value)
			check(t, err)
			last := &all[len(all)-1]
			last.moments = append(last.moments, at)
		}
	}
	if len(all) != len(expressions) {
		t.Fatalf("%d answers for %d expressions:\n%s", len(all), len(expressions), out)
	}
	return all
}

// compare holds what is said of expressions against systemd, and is how many
// of them are accepted.
func compare(t testing.TB, zone string, base time.Time, expressions []string) (accepted int) {
	t.Helper()
	local, err := LoadZone(zone)
	check(t, err)
	for i, want := range systemd(t, zone, base, expressions) {
		e, err := Parse(expressions[i], local)
		if (err == nil) != want.accepted {
			t.Errorf("%q: error %v, and systemd accepts it: %v", expressions[i], err, want.accepted)
		}
		if err != nil || !want.accepted || want.lost {
			continue
		}
		accepted++
		at := base
		for n, w := range want.moments {
			for at = e.Next(at); at.Before(w) && afterGap(at.In(e.zone)); at = e.Next(at) {
			}
			if !at.Equal(w) && shownTwice(at.In(e.zone), w.In(e.zone)) {
				at = w
				continue
			}
			if !at.Equal(w) {
				t.Errorf("%q in %s after %s, moment %d: %s, systemd has %s", e, zone, base.In(local), n, at.UTC(), w)
				break
			}
			if p := e.previousSince(at, time.Time{}, false); !p.Equal(at) {
				t.Errorf("%q in %s: the last moment at %s is %s", e, zone, at, p)
			}
		}
		if len(want.moments) < moments && !e.Next(at).IsZero() {
			t.Errorf("%q in %s: %s is after %s, systemd has no more", e, zone, e.Next(at), at)
		}
	}
	return accepted
}

// shownTwice reports whether clocks show the same at both times: systemd goes by the C
// library's guess of which is meant, and here it is the first.
func shownTwice(a, b time.Time) bool {
	return !a.Equal(b) && a.Format(time.DateTime) == b.Format(time.DateTime)
}

// afterGap reports whether clocks were put forward in the day up to t: systemd 252
// leaves out some of the times that they show then.
func afterGap(t time.Time) bool {
	since, _ := t.ZoneBounds()
	return putBack(t) < 0 && t.Sub(since) < 24*time.Hour
}

func TestExpressionsAreReadAsSystemdReadsThem(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 3, 28, 11, 30, 0, 0, time.UTC)
	compare(t, "UTC", base, []string{
		"minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "semi-annually", "biannually",
		"bi-annually", "yearly", "annually", "Daily", "daily UTC", "weekly Pacific/Auckland", "fortnightly", "Mon daily",
		"Sat,Thu,Mon..Wed,Sat..Sun", "Mon,Sun 12-*-* 2,1:23", "Wed *-1", "Wed..Wed,Wed *-1", "Wed, 17:48", "Wed,17:48",
		"Wed..Sat,Tue 12-10-15 1:2:3", "*-*-7 0:0:0", "10-15", "monday *-12-* 17:00", "Mon,Fri *-*-3,1,2 *:30:45",
		"12,14,13,12:20,10,30", "12..14:10,20,30", "mon,fri *-1/2-1,3 *:30:45", "03-05 08:05:40", "08:05:40", "05:40",
		"Sat,Sun 12-05 08:05:40", "2003-03-05 05:40", "2003-02..04-05", "2003-03-05 05:40 UTC", "03-05", "*:2/3",
		"*-02~03", "Mon *-05~07/1", "*-*~1..3", "*-*~5..9/2", "*-*~7/2", "*-*~28", "*-*~29", "*-*~3..1", "*~1", "~1", "*-*~0",
		"*-*-01,~1", "1..3,5/2-1", "*-13-1", "*-2-30", "*-2-29", "1969-1-1", "70-1-1", "69-1-1", "2199-12-31 23:59:59", "2200-1-1",
		"10", "10:", "10:00:", "23:59:60", "*/2:0", "*:*/2", "**", "*,1-1-1", "12,*:0", "0/0:0", "1/1..3:0", "5..5:0",
		"3..1:0", "1/100:0", "0/23:0", "0/24:0", "*:0/59", "*:0/60", "*:30/29", "*:30/30", "1..3/2:0", "1..3/5:0", "1..3/30:0", "1,:0", ",1:0", "1,,2:0",
		"1000:0", "+1:0", "-1:0", "0001:0", "1..2..3:0", "1/2/3:0", "Mon,", "Mon,,Tue", ",Mon", "Mon.Fri", "Fri..Mon", "Mon Tue", "Monda",
		"Mon 10:00 Tue", "10:00 Foo/Bar", "10:00 utc", "10:00 CET", "2026-1-1T10:00", "Mon*-*-*", "", " ", "Mon  10:00",
		"UTC", "*-*-*", "*-*-* *:*:*", "2026/4-1-1", "2026..2030/2-1-1", "*-*-31", "*-*-30/1", "Sun *-*-8..14 3:00",
	})
}

// zones change their clocks in many ways: at midnight, by two hours, by a whole
// day, in winter backwards, not at all. Those that change by parts of an hour
// are missing: systemd 252 then leaves out more than what the clocks do.
var zones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Santiago",
	"Africa/Casablanca", "Europe/Dublin", "Asia/Kolkata", "Pacific/Apia", "Asia/Tehran", "Antarctica/Troll", "Asia/Gaza",
}

func TestRandomExpressionsComeWhenSystemdSays(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("PROA_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		check(t, err)
	}
	t.Logf("PROA_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	accepted := 0
	for range 2 {
		for _, zone := range zones {
			local, err := LoadZone(zone)
			check(t, err)
			expressions := make([]string, 25)
			for i := range expressions {
				expressions[i] = randomExpression(r)
			}
			accepted += compare(t, zone, randomBase(r, local), expressions)
		}
	}
	t.Logf("%d expressions compared", accepted)
	if accepted < 400 {
		t.Errorf("only %d expressions were accepted", accepted)
	}
}

// randomBase is often shortly before a change of the clocks, and never in an
// hour that they show a second time: there systemd goes by the C library's
// guess.
func randomBase(r *rand.Rand, zone *time.Location) time.Time {
	base := time.Date(2005+r.IntN(30), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
	if _, change := base.In(zone).ZoneBounds(); !change.IsZero() && r.IntN(4) > 0 {
		return change.Add(-time.Duration(1+r.IntN(30*3600)) * time.Second).UTC()
	}
	if back := putBack(base.In(zone)); back > 0 {
		if since, _ := base.In(zone).ZoneBounds(); base.Before(since.Add(back)) {
			return base.Add(back)
		}
	}
	return base
}

func randomExpression(r *rand.Rand) string {
	var words []string
	days := []string{"Mon", "tue", "Wednesday", "Thu", "FRI", "Sat", "sunday"}
	switch r.IntN(5) {
	case 0:
		words = append(words, days[r.IntN(7)]+","+days[r.IntN(7)])
	case 1:
		from := r.IntN(7)
		words = append(words, days[from]+".."+days[from+r.IntN(7-from)])
	}
	if r.IntN(2) == 0 {
		year := "*"
		if r.IntN(4) == 0 {
			year = randomPart(r, 2004, 2040)
		}
		if r.IntN(4) == 0 {
			words = append(words, year+"-"+randomPart(r, 1, 12)+"~"+randomPart(r, 1, 15)) // from 20 on it refuses lists
		} else {
			words = append(words, year+"-"+randomPart(r, 1, 12)+"-"+randomDay(r))
		}
	}
	if len(words) == 0 || r.IntN(4) > 0 {
		clock := randomPart(r, 0, 23)
		if r.IntN(3) == 0 {
			clock = []string{"0", "1", "2", "3", "0..3"}[r.IntN(5)] // when clocks change
		}
		clock += ":" + randomPart(r, 0, 59)
		if r.IntN(3) == 0 {
			clock += ":" + randomPart(r, 0, 59)
		}
		words = append(words, clock)
	}
	if r.IntN(5) == 0 {
		words = append(words, zones[r.IntN(len(zones))])
	}
	return strings.Join(words, " ")
}

// randomDay has no repetitions that go on past the end of a month: of those
// systemd 252 leaves out days of the next month.
func randomDay(r *rand.Rand) string {
	if day := randomPart(r, 1, 31); !strings.Contains(day, "/") {
		return day
	}
	return []string{"1..31/2", "3..21/5", "2..9/3,30"}[r.IntN(3)]
}

func randomPart(r *rand.Rand, least, most int) string {
	value := func(least int) int { return least + r.IntN(most-least+1) }
	switch from := value(least); r.IntN(9) {
	case 0, 1, 2:
		return "*"
	case 3:
		return fmt.Sprintf("%d,%d,%d", from, value(least), value(least))
	case 4:
		from = least + r.IntN(most-least)
		return fmt.Sprintf("%d..%d", from, value(from+1))
	case 5:
		return randomRepetition(r, least, most)
	case 6:
		from = least + r.IntN(most-least)
		return fmt.Sprintf("%d..%d/%d,%d", from, value(from+1), 1+r.IntN(9), value(least))
	default:
		return fmt.Sprint(from)
	}
}

// randomRepetition is one that goes on evenly from one day, hour or minute to
// the next: of others systemd 252 leaves out some, or does not find any.
func randomRepetition(r *rand.Rand, least, most int) string {
	all := most - least + 1
	for {
		if n := 1 + r.IntN(all/2); all%n == 0 || all > 60 {
			return fmt.Sprintf("%d/%d", least+r.IntN(n), n)
		}
	}
}
