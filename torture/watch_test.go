package torture

import (
	"os"
	"sync"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/torture/writelog"
)

// watch follows both logs of a boot, to know in which order their entries came.
type watch struct {
	files          []*os.File
	diskLog, flash *writelog.Reader
	stop           chan struct{}
	done           chan error

	mu      sync.Mutex
	count   int // entries of the disk's log
	moments []moment
}

// moment is when the firmware's log had grown to so many entries.
type moment struct{ from, till, flash int }

func newWatch(b *machine.Boot) (*watch, error) {
	w := &watch{stop: make(chan struct{}), done: make(chan error, 1)}
	for path, into := range map[string]**writelog.Reader{b.DiskWrites: &w.diskLog, b.VariableWrites: &w.flash} {
		f, size, err := openLog(path)
		if err != nil {
			return nil, err
		}
		w.files = append(w.files, f)
		*into = writelog.NewReader(f, size)
	}
	go func() { w.done <- w.follow() }()
	return w, nil
}

func (w *watch) follow() error {
	before := 0
	for last := false; ; {
		flash := w.flash.Count()
		if err := w.flash.Skip(); err != nil {
			return err
		}
		if err := w.diskLog.Skip(); err != nil {
			return err
		}
		w.mu.Lock()
		w.count = w.diskLog.Count()
		if w.flash.Count() > flash {
			w.moments = append(w.moments, moment{before, w.count, w.flash.Count()})
		}
		before = w.count
		w.mu.Unlock()
		if last {
			return nil
		}
		select {
		case <-w.stop:
			last = true
		case <-time.After(500 * time.Microsecond):
		}
	}
}

// disk is how many entries the disk's log has.
func (w *watch) disk() int {
	time.Sleep(5 * time.Millisecond) // until it has been looked at again
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

func (w *watch) end() ([]moment, error) {
	close(w.stop)
	err := <-w.done
	for _, f := range w.files {
		f.Close()
	}
	return w.moments, err
}
