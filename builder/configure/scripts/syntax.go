// Package scripts follows the shell scripts of packages without running them:
// Parse reads one, and Follow walks the way that a first installation takes
// through it and hands over each simple command, with its words as far as they
// are known, to somebody who knows what to make of it.
//
// Nothing is executed. What cannot be known (the output of a program, the
// answer to a question, a file of the running system) is unknown, and commands
// that depend on it are handed over as uncertain.
//
// The language is that of POSIX, XCU chapter 2, as far as package scripts use
// it; what goes beyond is an error or unknown.
package scripts

// Script is a script that has been read.
type Script struct {
	body  list
	lines []string
}

// list is commands one after another.
type list []node

// node is a command of any kind.
type node interface{ line() int }

type at int

func (a at) line() int { return int(a) }

type (
	// simple is a simple command.
	simple struct {
		at
		assigns   []assign
		words     []word
		redirects []redirect
	}
	// pipeline is commands joined by |, at least one.
	pipeline struct {
		at
		stages []node
		not    bool
	}
	// andOr is two commands joined by && or ||.
	andOr struct {
		at
		left, right node
		or          bool
	}
	// branch is if, with one body more than conditions where there is an else.
	branch struct {
		at
		conditions []list
		bodies     []list
	}
	// choice is case.
	choice struct {
		at
		subject word
		arms    []arm
	}
	// each is for; without in it goes over the arguments.
	each struct {
		at
		name  string
		words []word
		in    bool
		body  list
	}
	// loop is while and until.
	loop struct {
		at
		condition, body list
	}
	// function defines one.
	function struct {
		at
		name string
		body node
	}
	// group is { } and ( ), with its redirections.
	group struct {
		at
		body      list
		redirects []redirect
		sub       bool
	}
)

type arm struct {
	patterns []word
	body     list
}

type assign struct {
	name  string
	value word
}

type redirect struct {
	from   int // file descriptor
	op     string
	target word
	text   *word // of a here-document
}

// word is a word in parts, as it stands in the script.
type word []part

type part struct {
	kind   partKind
	quoted bool
	text   string // literal text, a variable's name, or what is substituted
	op     string // of a variable: the operator behind its name
	arg    word   // and what follows that
}

type partKind uint8

const (
	literal partKind = iota
	variable
	substitution
	arithmetic
)
