package scripts

import "strconv"

// condition is the arguments of test(1).
type condition struct {
	follower *follower
	words    []Word
	pos      int
}

// test evaluates test and [.
func (f *follower) test(name string, args []Word) Status {
	if name == "[" {
		if len(args) == 0 || args[len(args)-1].Text != "]" {
			return Unknown
		}
		args = args[:len(args)-1]
	}
	if len(args) == 0 {
		return Failure
	}
	c := &condition{f, args, 0}
	status := c.or()
	if c.pos < len(c.words) {
		return Unknown
	}
	return status
}

func (c *condition) is(op string) bool {
	return c.pos < len(c.words) && c.words[c.pos].Known && c.words[c.pos].Text == op
}

func (c *condition) or() Status {
	status := c.and()
	for c.is("-o") {
		c.pos++
		switch other := c.and(); {
		case status == Success || other == Success:
			status = Success
		case status == Unknown || other == Unknown:
			status = Unknown
		}
	}
	return status
}

func (c *condition) and() Status {
	status := c.primary()
	for c.is("-a") {
		c.pos++
		switch other := c.primary(); {
		case status == Failure || other == Failure:
			status = Failure
		case status == Unknown || other == Unknown:
			status = Unknown
		}
	}
	return status
}

func (c *condition) primary() Status {
	left := len(c.words) - c.pos
	if left == 0 {
		return Unknown
	}
	if left >= 3 {
		if status, ok := c.binary(); ok {
			return status
		}
	}
	if left >= 2 && c.is("!") {
		c.pos++
		return c.primary().Not()
	}
	if left >= 3 && c.is("(") {
		c.pos++
		status := c.or()
		if !c.is(")") {
			c.pos = len(c.words)
			return Unknown
		}
		c.pos++
		return status
	}
	if op := c.words[c.pos]; left >= 2 && op.Known && len(op.Text) == 2 && op.Text[0] == '-' {
		c.pos += 2
		return c.unary(op.Text, c.words[c.pos-1])
	}
	c.pos++
	return c.unary("-n", c.words[c.pos-1])
}

func (c *condition) unary(op string, w Word) Status {
	switch {
	case op == "-t":
		return Failure
	case !w.Known:
		return Unknown
	case op == "-n":
		return Of(w.Text != "")
	case op == "-z":
		return Of(w.Text == "")
	case w.Text == "":
		return Failure
	}
	return c.follower.world.Test(op, w.Text)
}

func (c *condition) binary() (Status, bool) {
	a, op, b := c.words[c.pos], c.words[c.pos+1], c.words[c.pos+2]
	if !op.Known {
		return Unknown, false
	}
	known := a.Known && b.Known
	x, errX := strconv.Atoi(a.Text)
	y, errY := strconv.Atoi(b.Text)
	numbers := known && errX == nil && errY == nil
	var is bool
	switch op.Text {
	case "=", "==":
		is, numbers = a.Text == b.Text, known
	case "!=":
		is, numbers = a.Text != b.Text, known
	case "-eq":
		is = x == y
	case "-ne":
		is = x != y
	case "-lt":
		is = x < y
	case "-le":
		is = x <= y
	case "-gt":
		is = x > y
	case "-ge":
		is = x >= y
	case "-nt", "-ot", "-ef":
		numbers = false
	default:
		return Unknown, false
	}
	c.pos += 3
	if !numbers {
		return Unknown, true
	}
	return Of(is), true
}
