// Package bus is the agent's face on the system bus: the D-Bus service
// org.proa.Agent1 at /org/proa/Agent1, for desktops, fleet agents and scripts
// that would rather not run commands. docs/reference/interfaces.md describes
// it to them; Introspection is its contract.
//
// The daemon makes Signals first and gives them to the updater, as its events
// (with events.Many) and its progress; then it calls Serve, which answers until
// its context ends:
//
//	signals := bus.NewSignals()
//	u, err := updater.New(updater.Config{
//		Events:   events.Many(events.Default(), signals),
//		Progress: signals, …
//	})
//	err = bus.Serve(ctx, bus.Config{Conn: conn, Agent: agent, Signals: signals})
//
// Serve returns nil when ctx has ended, and an error when the bus refuses the
// name or goes away; the agent goes on without it. Signals that nobody serves
// are dropped, and none ever keeps the work waiting.
//
// Everybody may read. Whoever is not root needs polkit's consent for all
// else, and is refused where there is no polkit. What takes long is a job:
// the caller gets its number at once, one runs at a time, and only Cancel
// ends it, not its caller's end.
package bus

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/proa-os/proa/updater"
)

// Where the service is.
const (
	Name      = "org.proa.Agent1"
	Path      = dbus.ObjectPath("/org/proa/Agent1")
	Interface = "org.proa.Agent1"
)

// Introspection is the object's interfaces in the XML of the D-Bus
// specification, "Introspection Data Format".
//
//go:embed org.proa.Agent1.xml
var Introspection string

// Agent is what the service asks of the daemon. Results are what the commands
// print with --json. Errors are the updater's; what they wrap decides how the
// service names them. Each may be called while the daemon's own work goes on:
// updater.ErrBusy is an answer.
type Agent interface {
	// Status does not ask the repository and takes no lock.
	Status(ctx context.Context) (updater.Status, error)
	Check(ctx context.Context) (any, error)
	Update(ctx context.Context, options UpdateOptions) (any, error)
	Rollback(ctx context.Context, options RollbackOptions) (any, error)
	// Cancel ends the daemon's own work if any, and undoes an update that was
	// not booted yet.
	Cancel(ctx context.Context) (any, error)
	Unblock(ctx context.Context, release string) error
}

// UpdateOptions are those of Update's dictionary.
type UpdateOptions struct {
	RetryBlocked bool // "retry-blocked": lift the block of the offered release
	Stage        bool // "stage": do not arm the trial
	Now          bool // "now": do not wait for a maintenance window, and arm what is staged
}

// RollbackOptions are those of Rollback's dictionary.
type RollbackOptions struct {
	Reboot bool // "reboot": at once
}

// Config is what a service needs.
type Config struct {
	Conn    *dbus.Conn // required; connected to the system bus, not closed here
	Agent   Agent      // required
	Signals *Signals   // required; what is to be told
	Version string     // of the program
}

type service struct {
	Config
	ctx        context.Context // of all that is asked of the agent
	authority  authority
	jobs       jobs
	properties properties
	asking     chan struct{} // a place for each question to polkit under way
	reading    sync.Mutex    // one status at a time, whoever asks for how many
	readers    chan struct{} // a place for each Status under way
}

// Serve answers on the bus until ctx ends or the bus goes away. A job that
// runs then is cancelled and waited for.
func Serve(ctx context.Context, config Config) error {
	return serve(ctx, config, func(uid uint32) bool { return uid == 0 })
}

func serve(ctx context.Context, config Config, trusted func(uid uint32) bool) error {
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &service{Config: config, ctx: working, asking: make(chan struct{}, askingMost), readers: make(chan struct{}, readersMost)}
	s.authority = authority{conn: config.Conn, trusted: trusted}
	s.jobs.told = config.Signals
	s.refresh()
	if err := s.export(); err != nil {
		return err
	}
	defer s.unexport()
	reply, err := s.Conn.RequestName(Name, dbus.NameFlagDoNotQueue)
	if err != nil {
		return fmt.Errorf("asking the bus for %s: %w", Name, err)
	}
	if reply != dbus.RequestNameReplyPrimaryOwner && reply != dbus.RequestNameReplyAlreadyOwner {
		return fmt.Errorf("%s is taken: another proa-agent serves it", Name)
	}
	defer s.Conn.ReleaseName(Name)

	var relay sync.WaitGroup
	stop := make(chan struct{})
	relay.Go(func() { s.relay(stop) })
	select {
	case <-ctx.Done():
		err = nil
	case <-s.Conn.Context().Done():
		err = errors.New("the system bus went away")
	}
	cancel(errors.New("the daemon stops"))
	s.jobs.end()
	close(stop) // after the last job has been told about
	relay.Wait()
	return err
}

// relay sends the signals until stop is closed and the queue is empty.
func (s *service) relay(stop <-chan struct{}) {
	tick := time.NewTicker(refreshAtLeast)
	defer tick.Stop()
	for {
		select {
		case signal := <-s.Signals.queue:
			s.send(signal)
			continue
		case <-tick.C:
			s.refresh()
			continue
		case <-stop:
		}
		for {
			select {
			case signal := <-s.Signals.queue:
				s.send(signal)
			default:
				return
			}
		}
	}
}

func (s *service) send(signal signal) {
	if signal.refresh {
		s.refresh()
	}
	if err := s.Conn.Emit(Path, Interface+"."+signal.name, signal.values...); err != nil {
		return // the connection ended, which Serve notices
	}
}

func (s *service) export() error {
	for name, methods := range map[string]map[string]any{
		Interface: {
			"Status":   s.status,
			"Check":    s.check,
			"Update":   s.update,
			"Rollback": s.rollback,
			"Cancel":   s.cancel,
			"Unblock":  s.unblock,
		},
		"org.freedesktop.DBus.Introspectable": {
			"Introspect": func() (string, *dbus.Error) { return Introspection, nil },
		},
		propertiesInterface: {
			"Get":    s.properties.get,
			"GetAll": s.properties.getAll,
			"Set":    s.properties.set,
		},
	} {
		if err := s.Conn.ExportMethodTable(methods, Path, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) unexport() {
	for _, name := range []string{Interface, "org.freedesktop.DBus.Introspectable", propertiesInterface} {
		// Export would make the linker keep every method of every type.
		s.Conn.ExportMethodTable(nil, Path, name)
	}
}
