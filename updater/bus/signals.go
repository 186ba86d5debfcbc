package bus

import (
	"maps"
	"sync"
	"time"

	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/events"
)

const (
	queueMost = 256                    // signals that wait to be sent
	tellEvery = 500 * time.Millisecond // progress of one step
)

// Signals turns events and progress into signals of the service: it is an
// events.Sink and a progress.Reporter. It never blocks; what does not fit its
// queue is dropped.
type Signals struct {
	queue chan signal

	mutex   sync.Mutex
	current uint64 // number of the job that runs; 0 without one
}

type signal struct {
	name    string
	values  []any
	refresh bool // the properties may have changed
}

// NewSignals makes one for Config.
func NewSignals() *Signals { return &Signals{queue: make(chan signal, queueMost)} }

func (s *Signals) tell(one signal) {
	select {
	case s.queue <- one:
	default:
	}
}

// Event implements events.Sink.
func (s *Signals) Event(e events.Event) {
	fields := map[string]string{}
	maps.Copy(fields, e.Fields)
	if e.Version != "" {
		fields["version"] = string(e.Version)
	}
	if e.Slot != 0 {
		fields["slot"] = e.Slot.String()
	}
	if e.Text != "" {
		fields["reason"] = e.Text
	}
	for name, value := range fields {
		fields[name] = text(value)
	}
	s.tell(signal{"Event", []any{e.Kind.Name(), text(e.String()), fields}, true})
}

func (s *Signals) job(j *job) {
	s.setCurrent(j.number)
	s.tell(signal{"JobNew", []any{j.number, j.kind}, false})
}

func (s *Signals) jobRemoved(j *job, result any, err error) {
	s.setCurrent(0)
	var problem string
	if err != nil {
		problem = text(err.Error())
	}
	s.tell(signal{"JobRemoved", []any{j.number, j.kind, resultOf(err), problem, text(output(result))}, true})
}

func (s *Signals) setCurrent(number uint64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.current = number
}

// Step implements progress.Reporter.
func (s *Signals) Step(name string, total int64) progress.Step {
	step := &step{signals: s, name: name, total: total}
	step.tell(time.Now())
	return step
}

type step struct {
	signals *Signals
	name    string
	total   int64

	mutex sync.Mutex
	done  int64
	told  time.Time
}

func (s *step) Add(n int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.done += n
	if now := time.Now(); now.Sub(s.told) >= tellEvery {
		s.tell(now)
	}
}

func (s *step) Done(error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.tell(time.Now())
}

func (s *step) tell(now time.Time) {
	s.told = now
	s.signals.mutex.Lock()
	number := s.signals.current
	s.signals.mutex.Unlock()
	s.signals.tell(signal{"Progress", []any{number, text(s.name), s.done, s.total}, false})
}
