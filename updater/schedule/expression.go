// Package schedule says when: calendar expressions as systemd.time(7) has them,
// maintenance windows made of them, and the pace of polls and of attempts after
// errors.
//
// It asks no clock and no random source of its own: both are given. Nothing in
// it waits.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Expression is a set of whole seconds of a calendar in one time zone, written
// as in systemd.time(7), "CALENDAR EVENTS":
//
//	[WEEKDAYS] [[YEAR-]MONTH-DAY] [HOUR:MINUTE[:SECOND]] [ZONE]
//	minutely | hourly | daily | weekly | monthly | … [ZONE]
//
// A part is * or a list of values, ranges a..b and repetitions a/n and a..b/n; ~
// in place of the second - counts days from the end of the month. What a date
// or time of day leaves out is every day, or 00:00:00.
//
// Other than systemd.time(7) it knows no fractions of seconds and no @SECONDS.
// Make it with Parse.
type Expression struct {
	text     string
	zone     *time.Location
	weekdays set // time.Sunday to time.Saturday
	years    years
	months   set // 1 to 12
	days     set // 1 to 31; the last is 1 if fromEnd
	fromEnd  bool
	hours    set
	minutes  set
	seconds  set

	from time.Time // what is before is not looked at
}

// The years that systemd.time(7) knows.
const firstYear, lastYear = 1970, 2199

// longest is more than any expression needs that a person writes.
const longest = 256

// shorthands are those of systemd.time(7).
func shorthand(word string) (full string, ok bool) {
	switch strings.ToLower(word) {
	case "minutely":
		return "*-*-* *:*:00", true
	case "hourly":
		return "*-*-* *:00:00", true
	case "daily":
		return "*-*-* 00:00:00", true
	case "weekly":
		return "Mon *-*-* 00:00:00", true
	case "monthly":
		return "*-*-01 00:00:00", true
	case "quarterly":
		return "*-01,04,07,10-01 00:00:00", true
	case "semiannually", "semi-annually", "biannually", "bi-annually":
		return "*-01,07-01 00:00:00", true
	case "yearly", "annually":
		return "*-01-01 00:00:00", true
	}
	return "", false
}

// Parse reads an expression. One that names no time zone is in local.
func Parse(text string, local *time.Location) (Expression, error) {
	if len(text) > longest {
		return Expression{}, fmt.Errorf("calendar expression of %d bytes: want at most %d", len(text), longest)
	}
	e := Expression{text: text, zone: local}
	if err := e.parse(text); err != nil {
		return Expression{}, fmt.Errorf("calendar expression %.80q: %w", text, err)
	}
	return e, nil
}

// String is the text that was parsed.
func (e Expression) String() string { return e.text }

// Location is the time zone that the expression is in.
func (e Expression) Location() *time.Location { return e.zone }

func (e *Expression) parse(text string) error {
	words := strings.Fields(text)
	if len(words) == 0 {
		return errors.New("is empty: want for example \"Sat,Sun 02:00\" or \"daily\"")
	}
	if full, ok := shorthand(words[0]); ok {
		words = append(strings.Fields(full), words[1:]...)
	}
	words, err := e.takeZone(words)
	if err != nil {
		return err
	}
	e.weekdays = span(0, 6)
	if len(words) > 0 && isLetter(words[0][0]) {
		if e.weekdays, err = parseWeekdays(words[0]); err != nil {
			return err
		}
		words = words[1:]
	}
	date, clock := "*-*-*", "00:00:00"
	if len(words) > 0 && !strings.Contains(words[0], ":") {
		date, words = words[0], words[1:]
	}
	if len(words) > 0 {
		clock, words = words[0], words[1:]
	}
	if len(words) > 0 {
		return fmt.Errorf("%.40q is too much: want [weekdays] [date] [time] [time zone]", words[0])
	}
	if err := e.parseDate(date); err != nil {
		return err
	}
	return e.parseClock(clock)
}

// takeZone takes the time zone off the end of the words, if there is one.
func (e *Expression) takeZone(words []string) ([]string, error) {
	last := words[len(words)-1]
	if len(words) == 1 || !isLetter(last[0]) {
		return words, nil
	}
	zone, err := LoadZone(last)
	e.zone = zone
	return words[:len(words)-1], err
}

// parseDate reads [YEAR-]MONTH-DAY, or with ~ for the second -.
func (e *Expression) parseDate(text string) (err error) {
	rest, day, fromEnd := strings.Cut(text, "~")
	if !fromEnd {
		cut := strings.LastIndexByte(text, '-')
		if cut < 0 {
			return fmt.Errorf("%.40q is neither a date (2026-01-31, *-*-01) nor a time of day (02:00)", text)
		}
		rest, day = text[:cut], text[cut+1:]
	}
	year, month, withYear := strings.Cut(rest, "-")
	if !withYear {
		year, month = "*", rest
	}
	if e.years, err = parseYears(year); err != nil {
		return err
	}
	if e.months, err = parseSet("month", month, 1, 12); err != nil {
		return err
	}
	e.fromEnd = fromEnd
	if fromEnd {
		e.days, err = parseFromEnd(day)
		return err
	}
	e.days, err = parseSet("day", day, 1, 31)
	return err
}

// parseClock reads HOUR:MINUTE[:SECOND].
func (e *Expression) parseClock(text string) (err error) {
	parts := strings.Split(text, ":")
	if len(parts) == 2 {
		parts = append(parts, "0")
	}
	if len(parts) != 3 {
		return fmt.Errorf("time of day %.40q: want hours:minutes, or hours:minutes:seconds", text)
	}
	if e.hours, err = parseSet("hour", parts[0], 0, 23); err != nil {
		return err
	}
	if e.minutes, err = parseSet("minute", parts[1], 0, 59); err != nil {
		return err
	}
	e.seconds, err = parseSet("second", parts[2], 0, 59)
	return err
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
