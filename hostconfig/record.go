package hostconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/proa-os/proa/hostconfig/stage"
	"github.com/proa-os/proa/regular"
)

// The files that remember, in the root file system.
const (
	stateFolder = "var/lib/proa"
	recordPath  = stateFolder + "/configured.json"
	workFolder  = stateFolder + "/configure"
	pendingPath = workFolder + "/pending.json"
	againPath   = workFolder + "/again"
)

// Versions of what the files look like.
const (
	RecordSchema = 1
	workSchema   = 1
)

// Record is what a machine remembers of the configuration that it has.
type Record struct {
	Schema   int            `json:"schema"`   // RecordSchema
	When     time.Time      `json:"when"`     // by the clock of the machine, which may not have been set yet
	Door     string         `json:"door"`     // where it came from, in words
	Language string         `json:"language"` // such as "ignition 3.4.0"
	Digest   string         `json:"digest"`   // of the configuration: "sha256:" and hex digits
	Release  string         `json:"release"`  // the version that ran
	Files    []RecordedFile `json:"files,omitempty"`
}

// RecordedFile is a file that a configuration has written.
type RecordedFile struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
	// Kept is how much of it, in bytes, was there before; nil: nothing is kept
	// of what was there.
	Kept *int64 `json:"kept,omitempty"`
}

// Work is what is to be written, and the record of it.
type Work struct {
	Schema  int           `json:"schema"`
	Record  Record        `json:"record"`
	Changes []stage.Entry `json:"changes"`
}

const (
	mostRecord = 4 << 20
	mostWork   = 64 << 20
)

// ReadRecord is the record in a root, and nil where there is none.
func ReadRecord(root *os.Root) (*Record, error) {
	var r Record
	if err := readJSON(root, recordPath, mostRecord, &r); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	if r.Schema != RecordSchema {
		return nil, fmt.Errorf("/%s: schema %d: this version reads schema %d", recordPath, r.Schema, RecordSchema)
	}
	return &r, nil
}

// errTooMuch says that what is written could not be read again.
var errTooMuch = errors.New("all that is to be written is too much")

func (r *Record) encode() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil && len(text) >= mostRecord {
		err = fmt.Errorf("%w: its record would have %d bytes: want less than %d", errTooMuch, len(text), mostRecord)
	}
	return append(text, '\n'), err
}

func (w *Work) encode() ([]byte, error) {
	if _, err := w.Record.encode(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(w)
	if err == nil && len(text) > mostWork {
		err = fmt.Errorf("%w: it would have %d bytes: want at most %d", errTooMuch, len(text), mostWork)
	}
	return text, err
}

// Do carries the work out. It keeps what is to be done, writes it, and records
// it last: after a cut, Resume begins again. Work that is too much to be kept is
// an error before anything is written.
func (w *Work) Do(root *os.Root) error { return w.do(root, func() error { return nil }) }

func (w *Work) do(root *os.Root, step func() error) error {
	kept, err := w.encode()
	if err != nil {
		return err
	}
	if err := root.MkdirAll(workFolder, 0o755); err != nil {
		return err
	}
	for _, folder := range []string{path.Dir(stateFolder), stateFolder} {
		if err := syncFolder(root, folder); err != nil {
			return err
		}
	}
	if err := step(); err != nil {
		return err
	}
	if err := writeDurably(root, pendingPath, kept); err != nil {
		return err
	}
	return w.finish(root, step)
}

// finish is all that follows once the work is kept.
func (w *Work) finish(root *os.Root, step func() error) error {
	if err := stage.Write(root, w.Changes, step); err != nil {
		return err
	}
	// Before the record: what it tells of must be there.
	for _, folder := range []string{"etc", "var"} {
		if err := syncFileSystem(root, folder); err != nil {
			return err
		}
	}
	record, err := w.Record.encode()
	if err != nil {
		return err
	}
	if err := step(); err != nil {
		return err
	}
	if err := writeDurably(root, recordPath, record); err != nil {
		return err
	}
	for _, done := range []string{againPath, pendingPath} {
		if err := step(); err != nil {
			return err
		}
		if err := root.Remove(done); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(root, workFolder)
}

// Resume finishes work that was cut. It returns the record, or nil where there
// was no such work.
func Resume(root *os.Root) (*Record, error) {
	w, err := readWork(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w; 'proa-agent configure --again' drops it", err)
	}
	if err := w.finish(root, func() error { return nil }); err != nil {
		return nil, err
	}
	return &w.Record, nil
}

// readWork is the work that was cut.
func readWork(root *os.Root) (Work, error) {
	var w Work
	err := readJSON(root, pendingPath, mostWork, &w)
	switch {
	case err != nil:
		return Work{}, err
	case w.Schema != workSchema:
		return Work{}, fmt.Errorf("/%s: schema %d: this version reads schema %d", pendingPath, w.Schema, workSchema)
	}
	if err := stage.Check(w.Changes); err != nil {
		return Work{}, fmt.Errorf("/%s: %w", pendingPath, err)
	}
	return w, nil
}

// Again asks for the next boot to configure the machine again. Work that was cut
// is finished before, unless it cannot be read: then it is dropped.
func Again(root *os.Root) error {
	if err := root.MkdirAll(workFolder, 0o755); err != nil {
		return err
	}
	// What was fetched for the last time is old.
	if err := root.RemoveAll(fetchedPath); err != nil {
		return err
	}
	if _, err := readWork(root); err != nil {
		if err := root.RemoveAll(pendingPath); err != nil {
			return err
		}
	}
	return writeDurably(root, againPath, nil)
}

// AgainAsked reports whether Again was called since the machine was configured.
func AgainAsked(root *os.Root) bool {
	_, err := root.Lstat(againPath)
	return err == nil
}

func readJSON(root *os.Root, name string, most int64, into any) error {
	data, err := readFile(root, name, most)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("/%s: %w", name, err)
	}
	return nil
}

// readFile reads a file of at most most bytes.
func readFile(root *os.Root, name string, most int64) ([]byte, error) {
	f, _, err := regular.Check(root.OpenFile(name, regular.Flags, 0))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("/%s: want at most %d bytes", name, most)
	}
	return data, err
}
