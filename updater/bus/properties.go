package bus

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	propertiesInterface = "org.freedesktop.DBus.Properties"

	// refreshAtLeast is how long a change that another process made, such as a
	// command, may stay unseen.
	refreshAtLeast = time.Minute
)

// properties are those of the interface, as of the last refresh.
type properties struct {
	mutex  sync.Mutex
	values map[string]dbus.Variant
}

// refresh asks the agent and tells the bus what changed.
func (s *service) refresh() {
	s.reading.Lock()
	defer s.reading.Unlock()
	now := map[string]dbus.Variant{
		"Version":        dbus.MakeVariant(s.Version),
		"RunningVersion": dbus.MakeVariant(""),
		"Slot":           dbus.MakeVariant(""),
		"Committed":      dbus.MakeVariant(""),
		"Standing":       dbus.MakeVariant(""),
		"Phase":          dbus.MakeVariant(""),
		"Available":      dbus.MakeVariant(""),
		"Degraded":       dbus.MakeVariant(""),
	}
	if status, err := s.Agent.Status(s.ctx); err == nil {
		now["RunningVersion"] = dbus.MakeVariant(string(status.Running.Version))
		now["Slot"] = dbus.MakeVariant(status.Running.Slot.String())
		now["Committed"] = dbus.MakeVariant(status.Committed.String())
		now["Standing"] = dbus.MakeVariant(status.Running.Standing)
		now["Degraded"] = dbus.MakeVariant(text(status.Degraded))
		now["Phase"] = dbus.MakeVariant(string(status.Phase))
		if status.Available != nil && status.Available.News {
			now["Available"] = dbus.MakeVariant(string(status.Available.Version))
		}
	} else if s.properties.known() {
		return // another process may be at it: what was known is the best answer
	}
	if changed := s.properties.replace(now); len(changed) > 0 {
		s.Conn.Emit(Path, propertiesInterface+".PropertiesChanged", Interface, changed, []string{})
	}
}

func (p *properties) known() bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.values != nil
}

// replace returns those that changed; none the first time.
func (p *properties) replace(now map[string]dbus.Variant) map[string]dbus.Variant {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	changed := map[string]dbus.Variant{}
	for name, value := range now {
		if before, ok := p.values[name]; ok && before.Value() != value.Value() {
			changed[name] = value
		}
	}
	p.values = now
	return changed
}

func (p *properties) get(iface, name string) (dbus.Variant, *dbus.Error) {
	if err := ours(iface); err != nil {
		return dbus.Variant{}, err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	value, ok := p.values[name]
	if !ok {
		return dbus.Variant{}, unknown(name)
	}
	return value, nil
}

func (p *properties) getAll(iface string) (map[string]dbus.Variant, *dbus.Error) {
	if err := ours(iface); err != nil {
		return nil, err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return maps.Clone(p.values), nil
}

func (p *properties) set(iface, name string, _ dbus.Variant) *dbus.Error {
	if _, err := p.get(iface, name); err != nil {
		return err
	}
	return named("org.freedesktop.DBus.Error.PropertyReadOnly", "property %q cannot be written", name)
}

func ours(iface string) *dbus.Error {
	if iface != Interface {
		return named("org.freedesktop.DBus.Error.UnknownInterface", "interface %s: want %s", quote(iface), Interface)
	}
	return nil
}

func unknown(name string) *dbus.Error {
	return named("org.freedesktop.DBus.Error.UnknownProperty", "property %s: no such property", quote(name))
}

const textMost = 64 << 10 // bytes of a string in a signal

// text makes s fit for D-Bus, whose strings are UTF-8 without zero bytes.
func text(s string) string {
	s = s[:min(len(s), textMost)]
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
