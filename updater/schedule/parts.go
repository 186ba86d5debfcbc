package schedule

import (
	"fmt"
	"strconv"
	"strings"
)

// set is a set of numbers from 0 to 63.
type set uint64

func (s set) has(n int) bool { return s&(1<<n) != 0 }

// span is the set of the numbers from first to last.
func span(first, last int) (s set) {
	for n := first; n <= last; n++ {
		s |= 1 << n
	}
	return s
}

// years is a set of years, from firstYear on.
type years [(lastYear-firstYear)/64 + 1]set

func (y years) has(year int) bool {
	n := year - firstYear
	return n >= 0 && year <= lastYear && y[n/64].has(n%64)
}

// item is one element of a list: a value, a range or a repetition.
type item struct {
	first, last int  // last is first for a single value
	step        int  // 1 without repetition
	open        bool // a repetition without a last value
}

// parseList calls each with the items of a comma-separated list; * is the one
// item from least to most.
func parseList(name, text string, least, most int, each func(item) error) error {
	if text == "*" {
		return each(item{first: least, last: most, step: 1})
	}
	for part := range strings.SplitSeq(text, ",") {
		it, err := parseItem(name, part, least, most)
		if err == nil {
			err = each(it)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseItem reads a, a..b, a/n or a..b/n. Where a/n ends is for the caller.
func parseItem(name, text string, least, most int) (it item, err error) {
	values, step, repeated := strings.Cut(text, "/")
	first, last, ranged := strings.Cut(values, "..")
	if it.first, err = parseValue(name, first, least, most); err != nil {
		return item{}, err
	}
	it.last, it.step = it.first, 1
	if ranged {
		if it.last, err = parseValue(name, last, least, most); err != nil {
			return item{}, err
		}
		if it.last < it.first {
			return item{}, fmt.Errorf("%s %.40q: the range ends before it begins", name, text)
		}
	}
	if !repeated {
		return it, nil
	}
	if it.step, err = number(step); err != nil || it.step < 1 {
		return item{}, fmt.Errorf("%s %.40q: want a repetition of 1 or more", name, text)
	}
	it.open = !ranged
	return it, nil
}

func parseValue(name, text string, least, most int) (int, error) {
	n, err := number(text)
	if err == nil && name == "year" && len(text) <= 2 {
		n = century(n)
	}
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s %.40q: want * or numbers from %d to %d, such as 1,3..5,10/2", name, text, least, most)
	}
	return n, nil
}

// century is how systemd.time(7) reads a year of two digits.
func century(n int) int {
	if n >= 70 {
		return 1900 + n
	}
	return 2000 + n
}

// number reads digits only.
func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 15)
	return int(n), err
}

// upwards calls add with the numbers of an item whose open repetition goes on to
// most.
func (it item) upwards(name string, most int, add func(int)) error {
	if it.open {
		if it.last = most; it.first+it.step > most {
			return fmt.Errorf("%s %d/%d: the repetition never comes, %d is the last", name, it.first, it.step, most)
		}
	}
	for n := it.first; n <= it.last; n += it.step {
		add(n)
	}
	return nil
}

func parseSet(name, text string, least, most int) (s set, err error) {
	err = parseList(name, text, least, most, func(it item) error {
		return it.upwards(name, most, func(n int) { s |= 1 << n })
	})
	return s, err
}

func parseYears(text string) (y years, err error) {
	const name = "year"
	err = parseList(name, text, firstYear, lastYear, func(it item) error {
		return it.upwards(name, lastYear, func(n int) { y[(n-firstYear)/64] |= 1 << ((n - firstYear) % 64) })
	})
	return y, err
}

// parseFromEnd reads days counted from the end of the month, where the last is 1.
// A repetition without an end goes on towards the last day. Every month has 28.
func parseFromEnd(text string) (s set, err error) {
	const name, most = "day from the end of the month", 28
	if text == "*" {
		return span(1, 31), nil
	}
	err = parseList(name, text, 1, most, func(it item) error {
		if !it.open {
			return it.upwards(name, most, func(n int) { s |= 1 << n })
		}
		if it.step >= it.first {
			return fmt.Errorf("%s %d/%d: the repetition never comes", name, it.first, it.step)
		}
		for n := it.first; n >= 1; n -= it.step {
			s |= 1 << n
		}
		return nil
	})
	return s, err
}

// parseWeekdays reads names, of three letters or in full, and ranges of them.
func parseWeekdays(text string) (s set, err error) {
	list := strings.TrimSuffix(text, ",") // systemd.time(7): "Wed, 17:48"
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "..")
		from, err := weekday(first)
		if err != nil {
			return 0, err
		}
		to := from
		if ranged {
			if to, err = weekday(last); err != nil {
				return 0, err
			}
		}
		if to < from {
			return 0, fmt.Errorf("weekdays %.40q: the range ends before it begins; the week begins on Monday", part)
		}
		for n := from; n <= to; n++ {
			s |= 1 << ((n + 1) % 7) // time.Weekday counts from Sunday
		}
	}
	return s, nil
}

// weekday counts from Monday, 0.
func weekday(text string) (int, error) {
	for n, full := range []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"} {
		if strings.EqualFold(text, full) || strings.EqualFold(text, full[:3]) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%.40q is no weekday: want Mon, Tue, Wed, Thu, Fri, Sat or Sun", text)
}
