// Package progress is how long work tells what it is doing. The worker reports
// steps and bytes; whoever called it decides how that looks: bars, lines, JSON
// or nothing.
package progress

import "io"

// Reporter receives the steps of one piece of work. Steps may overlap and may
// be reported from several goroutines.
type Reporter interface {
	// Step announces a step by name, such as "hash root image". Total is the
	// bytes it will process, or 0 when that is not known.
	Step(name string, total int64) Step
}

// Step is one announced step.
type Step interface {
	// Add reports n more bytes done.
	Add(n int64)
	// Done ends the step; err is nil when it succeeded.
	Done(err error)
}

// Silent is a Reporter that tells nobody.
func Silent() Reporter { return silent{} }

type silent struct{}

func (silent) Step(string, int64) Step { return silent{} }
func (silent) Add(int64)               {}
func (silent) Done(error)              {}

// Reader counts what is read from r into step.
func Reader(r io.Reader, step Step) io.Reader { return &reader{r, step} }

type reader struct {
	r    io.Reader
	step Step
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.step.Add(int64(n))
	return n, err
}
