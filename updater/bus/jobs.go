package bus

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/godbus/dbus/v5"
)

var errCancelled = errors.New("cancelled")

// jobs runs one piece of work at a time.
type jobs struct {
	told *Signals

	mutex   sync.Mutex
	last    uint64 // number of the newest job
	running *job   // nil while there is none
	ended   bool
}

type job struct {
	number uint64
	kind   string
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// begin starts work, unless there is a job already.
func (j *jobs) begin(ctx context.Context, kind string, work func(context.Context) (any, error)) (uint64, *dbus.Error) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.running != nil {
		return 0, j.busy()
	}
	return j.start(ctx, kind, nil, work)
}

// replace cancels the job that runs, and starts work when it has ended.
func (j *jobs) replace(ctx context.Context, kind string, work func(context.Context) (any, error)) (uint64, *dbus.Error) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	before := j.running
	if before != nil {
		if before.kind == kind {
			return 0, j.busy()
		}
		before.cancel(errCancelled)
	}
	return j.start(ctx, kind, before, work)
}

func (j *jobs) busy() *dbus.Error {
	return named(errorPrefix+Busy, "job %d, %s, is running", j.running.number, j.running.kind)
}

// start is called with the mutex held.
func (j *jobs) start(ctx context.Context, kind string, before *job, work func(context.Context) (any, error)) (uint64, *dbus.Error) {
	if j.ended {
		return 0, named(errorPrefix+Busy, "the daemon stops")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	j.last++
	this := &job{number: j.last, kind: kind, cancel: cancel, done: make(chan struct{})}
	j.running = this
	go func() {
		defer cancel(nil)
		if before != nil {
			<-before.done
		}
		j.told.job(this)
		result, err := work(ctx)
		if err != nil && context.Cause(ctx) == errCancelled {
			err = errCancelled
		}
		j.mutex.Lock()
		if j.running == this {
			j.running = nil
		}
		j.mutex.Unlock()
		j.told.jobRemoved(this, result, err)
		close(this.done)
	}()
	return this.number, nil
}

// end lets no more begin and waits for the one that runs, whose context its
// caller has ended.
func (j *jobs) end() {
	j.mutex.Lock()
	j.ended = true
	running := j.running
	j.mutex.Unlock()
	if running != nil {
		<-running.done
	}
}

// output is a result as the commands print it with --json; "" for none and
// for one that is out of proportion.
func output(result any) string {
	if result == nil {
		return ""
	}
	text, err := json.Marshal(result)
	if err != nil || len(text) > textMost {
		return ""
	}
	return string(text)
}
