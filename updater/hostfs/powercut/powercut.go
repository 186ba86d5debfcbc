// Package powercut records what goes through a hostfs.FS and makes the states
// of the disk that a power cut could have left: after any number of
// operations, with what was synced by then kept, and of the rest everything,
// nothing, or a part, down to torn sectors. It is for tests.
//
// A Recorder works on a real folder. Leave applies a state to a copy of that
// folder as it was before the recording.
package powercut

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/proa-os/proa/updater/hostfs"
)

// Kind is what an operation does.
type Kind string

// The kinds.
const (
	Write          Kind = "write"
	Create         Kind = "create"
	Mkdir          Kind = "make folder"
	Rename         Kind = "rename"
	Remove         Kind = "remove"
	Sync           Kind = "sync"
	SyncDir        Kind = "sync folder"
	SyncFS         Kind = "sync file system"
	Variable       Kind = "variable"        // durable by itself: the firmware answers when it is
	RemoveVariable Kind = "remove variable" // likewise
	Drop           Kind = "drop"            // from the cache; recorded if Drops is set

	duplicate Kind = "duplicate" // a rename that leaves the old name
)

// Op is one operation. Names are relative to the recorder's folder.
type Op struct {
	Kind   Kind
	Name   string
	To     string // of a rename
	Offset int64  // of a write or a drop
	Length int64  // of a drop
	Data   []byte // of a write or a variable
	Handle int    // of a write or a sync: which open file it went through
}

// String is the operation in a word or two.
func (o Op) String() string {
	if o.Kind == Write {
		return fmt.Sprintf("write %s %d+%d", o.Name, o.Offset, len(o.Data))
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", o.Kind, o.Name, o.To))
}

// ErrCut is the error of every operation after the cut.
var ErrCut = errors.New("power cut")

// Recorder is a file system that records. It is safe for concurrent use.
type Recorder struct {
	Dir string // everything is under it
	// Before, if not nil, is asked before each operation; its error is the
	// operation's, which then is not carried out.
	Before func(n int, op Op) error
	// Drops makes it record drops from the cache. A file system in memory, where
	// tests run, has nothing to drop.
	Drops bool

	mu     sync.Mutex
	real   hostfs.OS
	ops    []Op
	opened int // files, for their handles
}

// Ops are the operations so far.
func (r *Recorder) Ops() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Op(nil), r.ops...)
}

func (r *Recorder) name(path string) string {
	name, err := filepath.Rel(r.Dir, path)
	if err != nil || strings.HasPrefix(name, "..") {
		panic("powercut: " + path + " is outside of " + r.Dir)
	}
	return name
}

// do records an operation and carries it out, one at a time.
func (r *Recorder) do(op Op, run func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Before != nil {
		if err := r.Before(len(r.ops), op); err != nil {
			return err
		}
	}
	if err := run(); err != nil {
		return err
	}
	r.ops = append(r.ops, op)
	return nil
}

// Open implements hostfs.FS.
func (r *Recorder) Open(name string) (hostfs.File, error) { return r.real.Open(name) }

// OpenWritable implements hostfs.FS.
func (r *Recorder) OpenWritable(name string) (hostfs.File, error) {
	f, err := r.real.OpenWritable(name)
	if err != nil {
		return nil, err
	}
	return r.handle(f, name), nil
}

func (r *Recorder) handle(f hostfs.File, name string) hostfs.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened++
	return &file{f, r, r.name(name), r.opened}
}

// Create implements hostfs.FS.
func (r *Recorder) Create(name string) (f hostfs.File, err error) {
	err = r.do(Op{Kind: Create, Name: r.name(name)}, func() error {
		f, err = r.real.Create(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.handle(f, name), nil
}

// Mkdir implements hostfs.FS.
func (r *Recorder) Mkdir(name string) error {
	return r.do(Op{Kind: Mkdir, Name: r.name(name)}, func() error { return r.real.Mkdir(name) })
}

// Rename implements hostfs.FS.
func (r *Recorder) Rename(from, to string) error {
	return r.do(Op{Kind: Rename, Name: r.name(from), To: r.name(to)}, func() error { return r.real.Rename(from, to) })
}

// Remove implements hostfs.FS.
func (r *Recorder) Remove(name string) error {
	return r.do(Op{Kind: Remove, Name: r.name(name)}, func() error { return r.real.Remove(name) })
}

// SyncDir implements hostfs.FS.
func (r *Recorder) SyncDir(name string) error {
	return r.do(Op{Kind: SyncDir, Name: r.name(name)}, func() error { return nil })
}

// SyncFS implements hostfs.FS.
func (r *Recorder) SyncFS(name string) error {
	return r.do(Op{Kind: SyncFS, Name: r.name(name)}, func() error { return nil })
}

// WriteVariable implements hostfs.FS.
func (r *Recorder) WriteVariable(name string, content []byte) error {
	op := Op{Kind: Variable, Name: r.name(name), Data: append([]byte(nil), content...)}
	return r.do(op, func() error { return r.real.WriteVariable(name, content) })
}

// RemoveVariable implements hostfs.FS.
func (r *Recorder) RemoveVariable(name string) error {
	return r.do(Op{Kind: RemoveVariable, Name: r.name(name)}, func() error { return r.real.RemoveVariable(name) })
}

// List implements hostfs.FS.
func (r *Recorder) List(dir string) ([]string, error) { return r.real.List(dir) }

type file struct {
	hostfs.File
	recorder *Recorder
	name     string
	handle   int
}

func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	op := Op{Kind: Write, Name: f.name, Offset: off, Data: append([]byte(nil), p...), Handle: f.handle}
	err = f.recorder.do(op, func() error {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	return n, err
}

// Sync does not make the machine that runs the test wait for its disk.
func (f *file) Sync() error {
	return f.recorder.do(Op{Kind: Sync, Name: f.name, Handle: f.handle}, func() error { return nil })
}

func (f *file) Push(int64, int64) {}

func (f *file) Drop(off, n int64) error {
	if !f.recorder.Drops {
		return nil
	}
	op := Op{Kind: Drop, Name: f.name, Offset: off, Length: n, Handle: f.handle}
	if err := f.recorder.do(op, func() error { return nil }); err != nil {
		return fmt.Errorf("dropping %s from the cache: %w", f.name, err)
	}
	return nil
}

// Fail makes a recorder's operation n fail with err, or all from n on.
func Fail(n int, err error, lasts bool) func(int, Op) error {
	done := false
	return func(at int, _ Op) error {
		if at < n || done && !lasts {
			return nil
		}
		done = true
		return err
	}
}

// CutAfter makes a recorder fail with ErrCut from operation n on.
func CutAfter(n int) func(int, Op) error { return Fail(n, ErrCut, true) }

// apply carries an operation out under dir. What rests on an operation that
// was lost comes to nothing.
func (o Op) apply(dir string) error {
	path := filepath.Join(dir, o.Name)
	var err error
	switch o.Kind {
	case Write:
		var f *os.File
		if f, err = os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			_, err = f.WriteAt(o.Data, o.Offset)
			err = errors.Join(err, f.Close())
		}
	case Create, Variable:
		err = os.WriteFile(path, o.Data, 0o600)
	case Mkdir:
		if err = os.Mkdir(path, 0o700); errors.Is(err, os.ErrExist) {
			err = nil
		}
	case Rename:
		err = os.Rename(path, filepath.Join(dir, o.To))
	case duplicate:
		var content []byte
		if content, err = os.ReadFile(path); err == nil {
			err = os.WriteFile(filepath.Join(dir, o.To), content, 0o600)
		}
	case Remove, RemoveVariable:
		err = os.Remove(path)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
