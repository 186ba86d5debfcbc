package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/godbus/dbus/v5"
)

const (
	releaseMost = 128 // bytes of a digest or version that Unblock looks at

	// readersMost is how many calls of Status may wait at a time.
	readersMost = 64
)

func (s *service) status(m dbus.Message) (string, *dbus.Error) {
	if m.Flags&dbus.FlagNoReplyExpected != 0 {
		return "", nil // the bus bounds who waits for an answer, and nobody else
	}
	select {
	case s.readers <- struct{}{}:
	default:
		return "", named(tooMany, "%d callers wait for the status already", readersMost)
	}
	defer func() { <-s.readers }()
	s.reading.Lock()
	defer s.reading.Unlock()
	status, err := s.Agent.Status(s.ctx)
	if err != nil {
		return "", busError(err)
	}
	text, err := json.Marshal(status)
	if err != nil {
		return "", busError(err)
	}
	return string(text), nil
}

func (s *service) check(m dbus.Message) (uint64, *dbus.Error) {
	return s.begin(m, "check", s.Agent.Check)
}

func (s *service) update(m dbus.Message, dictionary map[string]dbus.Variant) (uint64, *dbus.Error) {
	if err := signed(m, "a{sv}"); err != nil {
		return 0, err
	}
	var options UpdateOptions
	if err := read(dictionary, map[string]*bool{
		"retry-blocked": &options.RetryBlocked,
		"stage":         &options.Stage,
		"now":           &options.Now,
	}); err != nil {
		return 0, err
	}
	if options.RetryBlocked {
		if err := s.allow(m, "unblock"); err != nil {
			return 0, err
		}
	}
	return s.begin(m, "update", func(ctx context.Context) (any, error) { return s.Agent.Update(ctx, options) })
}

func (s *service) rollback(m dbus.Message, dictionary map[string]dbus.Variant) (uint64, *dbus.Error) {
	if err := signed(m, "a{sv}"); err != nil {
		return 0, err
	}
	var options RollbackOptions
	if err := read(dictionary, map[string]*bool{"reboot": &options.Reboot}); err != nil {
		return 0, err
	}
	return s.begin(m, "rollback", func(ctx context.Context) (any, error) { return s.Agent.Rollback(ctx, options) })
}

func (s *service) cancel(m dbus.Message) (uint64, *dbus.Error) {
	if err := s.allow(m, "cancel"); err != nil {
		return 0, err
	}
	return s.jobs.replace(s.ctx, "cancel", s.Agent.Cancel)
}

func (s *service) unblock(m dbus.Message, release string) *dbus.Error {
	if err := signed(m, "s"); err != nil {
		return err
	}
	if release == "" || len(release) > releaseMost {
		return invalid("release of %d bytes: want a digest or a version, 1 to %d", len(release), releaseMost)
	}
	if err := s.allow(m, "unblock"); err != nil {
		return err
	}
	if err := s.Agent.Unblock(s.ctx, release); err != nil {
		return busError(err)
	}
	s.refresh()
	return nil
}

// begin starts a job for whoever may; the action of polkit is named as the
// job.
func (s *service) begin(m dbus.Message, kind string, work func(context.Context) (any, error)) (uint64, *dbus.Error) {
	if err := s.allow(m, kind); err != nil {
		return 0, err
	}
	return s.jobs.begin(s.ctx, kind, work)
}

// signed demands the argument types: the library converts numbers to strings.
func signed(m dbus.Message, want string) *dbus.Error {
	if got, _ := m.Headers[dbus.FieldSignature].Value().(dbus.Signature); got.String() != want {
		return invalid("arguments of type %s: want %q", quote(got.String()), want)
	}
	return nil
}

// read fills the options that the dictionary names.
func read(dictionary map[string]dbus.Variant, options map[string]*bool) *dbus.Error {
	known := slices.Sorted(maps.Keys(options))
	for _, name := range slices.Sorted(maps.Keys(dictionary)) {
		option, ok := options[name]
		if !ok {
			return invalid("option %s: want one of %v", quote(name), known)
		}
		if *option, ok = dictionary[name].Value().(bool); !ok {
			return invalid("option %q has type %.20q: want a boolean", name, dictionary[name].Signature())
		}
	}
	return nil
}

// quote shows what a stranger sent, as much as fits a line.
func quote(text string) string {
	const most = 40
	if len(text) > most {
		return fmt.Sprintf("%.*q… of %d bytes", most, text, len(text))
	}
	return fmt.Sprintf("%q", text)
}
