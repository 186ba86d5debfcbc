package bus

import (
	"context"
	"errors"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	actionPrefix = "org.proa.agent1."

	// askingMost is how many questions to polkit may wait at a time: each is a
	// person in front of a dialogue, or somebody who floods the agent.
	askingMost = 16
	// For a person to type a password; and for polkit alone.
	dialoguePatience, patience = 2 * time.Minute, 20 * time.Second
)

// allow decides whether the sender of m may do what the action is about.
func (s *service) allow(m dbus.Message, action string) *dbus.Error {
	select {
	case s.asking <- struct{}{}:
	default:
		return named(tooMany, "%d callers wait for authorization already", askingMost)
	}
	defer func() { <-s.asking }()
	sender, _ := m.Headers[dbus.FieldSender].Value().(string)
	return s.authority.allow(s.ctx, sender, actionPrefix+action, m.Flags&dbus.FlagAllowInteractiveAuthorization != 0)
}

// authority knows who may do what.
type authority struct {
	conn    *dbus.Conn
	trusted func(uid uint32) bool // who needs not be asked about
}

func (a authority) allow(ctx context.Context, sender, action string, dialogue bool) *dbus.Error {
	limit := patience
	if dialogue {
		limit = dialoguePatience
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var uid uint32
	if err := a.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixUser", 0, sender).Store(&uid); err != nil {
		return named(accessDenied, "who %s is cannot be found out: %v", quote(sender), err)
	}
	if a.trusted(uid) {
		return nil
	}
	verdict, err := a.ask(ctx, sender, action, dialogue)
	switch {
	case err != nil:
		return named(accessDenied, "%s needs polkit's consent: %v", action, err)
	case verdict.Authorized:
		return nil
	case verdict.Challenge && !dialogue:
		return named(interactive, "%s needs interactive authorization", action)
	}
	return named(accessDenied, "user %d may not %s", uid, action)
}

// verdict is polkit's AuthorizationResult, (bba{ss}).
type verdict struct {
	Authorized, Challenge bool
	Details               map[string]string
}

// ask calls org.freedesktop.PolicyKit1.Authority.CheckAuthorization (polkit
// Reference Manual).
func (a authority) ask(ctx context.Context, sender, action string, dialogue bool) (verdict, error) {
	subject := struct {
		Kind    string
		Details map[string]dbus.Variant
	}{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(sender)}}
	var flags uint32
	if dialogue {
		flags = 1 // AllowUserInteraction
	}
	var answer verdict
	err := a.conn.Object("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority").CallWithContext(
		ctx, "org.freedesktop.PolicyKit1.Authority.CheckAuthorization", 0,
		subject, action, map[string]string{}, flags, "").Store(&answer)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it did not answer in time")
	}
	return answer, err
}
