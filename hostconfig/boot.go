package hostconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/proa-os/proa/hostconfig/cloudconfig"
	"github.com/proa-os/proa/hostconfig/doors"
	"github.com/proa-os/proa/hostconfig/stage"
)

// Result is what a boot did about the machine's configuration.
type Result string

// The results.
const (
	Applied Result = "applied" // in this boot
	Already Result = "already" // in an earlier one, and not asked for again
	Nothing Result = "nothing" // no door has one
	Waits   Result = "waits"   // it is to be fetched, when there is a network
	Refused Result = "refused" // it is wrong, or cannot be done: nothing was written
	Failed  Result = "failed"  // writing it failed: the next boot goes on
)

// Outcome is what a boot did, and why.
type Outcome struct {
	Result Result `json:"result"`
	Door   string `json:"door,omitempty"`
	Error  string `json:"error,omitempty"` // of Refused and Failed; lines, one for each fault
}

// Booting is a machine that boots, before its system is started.
type Booting struct {
	Root    *os.Root
	House   doors.House
	URL     *URL // what the kernel's command line says, if anything
	Release string
	Now     time.Time
	// Forgets says that changes of /etc do not outlive this boot, so that each one
	// configures the machine anew.
	Forgets bool
	// VarLost says that nothing in /var outlives this boot, so that nothing can be
	// fetched for the next one.
	VarLost bool
}

// Configure configures the machine unless it is configured.
func (b Booting) Configure() Outcome {
	failed := func(door string, err error) Outcome { return Outcome{Failed, door, err.Error()} }
	if record, err := Resume(b.Root); err != nil {
		return failed("", fmt.Errorf("going on with what an earlier boot began: %w", err))
	} else if record != nil {
		return Outcome{Result: Applied, Door: record.Door}
	}
	before, err := ReadRecord(b.Root)
	if err != nil {
		return failed("", err)
	}
	if before != nil && !b.Forgets && !AgainAsked(b.Root) {
		return Outcome{Result: Already, Door: before.Door}
	}
	found, err := b.look()
	switch {
	case errors.Is(err, errWaits) && b.VarLost:
		return b.refuse(b.URL.door(), errors.New("/var is in memory: what is fetched for the next boot would be lost"))
	case errors.Is(err, errWaits):
		return Outcome{Result: Waits, Door: b.URL.door()}
	case err != nil:
		return b.refuse("", err)
	case found == nil:
		return Outcome{Result: Nothing}
	}
	work, err := prepareFound(b.Root, found, before, b.Now)
	if err != nil {
		return b.refuse(found.Door, err)
	}
	work.Record.When, work.Record.Release = b.Now.UTC().Truncate(time.Second), b.Release
	if err := work.Do(b.Root); errors.Is(err, errTooMuch) {
		return b.refuse(found.Door, err)
	} else if err != nil {
		return failed(found.Door, err)
	}
	return Outcome{Result: Applied, Door: found.Door}
}

// refuse forgets what was fetched, so that the boot after this one waits for another.
func (b Booting) refuse(door string, err error) Outcome {
	if b.URL != nil {
		err = errors.Join(err, b.Root.RemoveAll(fetchedPath))
	}
	return Outcome{Refused, door, err.Error()}
}

var errWaits = errors.New("it is not fetched yet")

// look is what a URL brought, if the kernel's command line names one, and else
// what is behind a door.
func (b Booting) look() (*doors.Found, error) {
	if b.URL == nil {
		return b.House.Look()
	}
	data, err := readFile(b.Root, fetchedPath, MostSize)
	if errors.Is(err, fs.ErrNotExist) || err == nil && b.URL.check(data) != nil {
		return nil, errWaits
	}
	if err != nil {
		return nil, err
	}
	return &doors.Found{Door: b.URL.door(), Data: data}, nil
}

// prepareFound parses what was found and holds it against a root. A configuration
// that the root has already is for /etc alone, unless somebody asked for all of it.
func prepareFound(root *os.Root, found *doors.Found, before *Record, now time.Time) (*Work, error) {
	if len(found.Data) == 0 && len(found.MetaData) > 0 {
		found.Data = []byte(cloudconfig.Header + "\n") // a volume with no more than a name
	}
	p, err := Parse(found.Door, found.Data)
	if err == nil && len(found.MetaData) > 0 {
		err = cloudconfig.MetaData(found.Door+": meta-data", found.MetaData, p)
	}
	if err != nil {
		return nil, err
	}
	s := stage.New(root)
	if before != nil && before.Digest == digest(found.Data) && !AgainAsked(root) {
		s = stage.NewEtc(root)
	}
	work, err := prepare(s, found.Door, p, before, now)
	if err != nil {
		return nil, err
	}
	work.Record.Door, work.Record.Digest = found.Door, digest(found.Data)
	return work, nil
}

// The files that tell of this boot, which do not outlive it.
const (
	OutcomeFile = "configure.json"  // an Outcome
	WaitsFile   = "configure-waits" // is there while the result is Waits
)

// Tell leaves the outcome in a folder, /run/proa.
func (o Outcome) Tell(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := root.WriteFile(OutcomeFile, append(text, '\n'), 0o644); err != nil {
		return err
	}
	if o.Result == Waits {
		return root.WriteFile(WaitsFile, nil, 0o644)
	}
	if err := root.Remove(WaitsFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
