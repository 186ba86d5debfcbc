package logind

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bus starts a dbus-daemon and gives its address.
func bus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	check(t, os.WriteFile(config, fmt.Appendf(nil, `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`, dir), 0o600))
	cmd := exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--print-address=1")
	out, err := cmd.StdoutPipe()
	check(t, err)
	cmd.Stderr = os.Stderr
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	check(t, err)
	return strings.TrimSpace(line)
}

func connect(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// inhibitor is one in the shape that ListInhibitors has.
type inhibitor struct {
	What, Who, Why, Mode string
	UID, PID             uint32
}

// login is the part of org.freedesktop.login1 that is asked for here, as
// org.freedesktop.login1(5) has it.
type login struct {
	mu         sync.Mutex
	inhibitors []inhibitor
	newer      bool // systemd 257 or later
	calls      []string
	slow       time.Duration
}

func (l *login) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, fmt.Sprintf(format, args...))
}

func (l *login) inhibiting() []inhibitor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inhibitors
}

func (l *login) called() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls)
}

func (l *login) ListInhibitors() ([]inhibitor, *dbus.Error) {
	time.Sleep(l.slow)
	return l.inhibiting(), nil
}

func (l *login) SetWallMessage(text string, enable bool) *dbus.Error {
	l.note("wall %q %v", text, enable)
	return nil
}

// RebootWithFlags does with flags what systemd's login/logind-dbus.c of its
// version does for root.
func (l *login) RebootWithFlags(flags uint64) *dbus.Error {
	blocked := slices.ContainsFunc(l.inhibiting(), func(i inhibitor) bool {
		return i.Mode == "block" && strings.Contains(i.What, "shutdown")
	})
	switch {
	case flags&^3 != 0 && !l.newer:
		return dbus.NewError("org.freedesktop.DBus.Error.InvalidArgs", []any{"Invalid flags parameter"})
	case l.newer && blocked && flags&16 == 0:
		return dbus.NewError("org.freedesktop.login1.BlockedByInhibitorLock", []any{"Operation denied due to active block inhibitors"})
	case !l.newer && blocked && flags&1 != 0:
		return dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"Access denied to root due to active block inhibitor"})
	}
	l.note("reboot %d", flags)
	return nil
}

// serve puts l on the bus and returns a Manager that talks to it.
func serve(t *testing.T, l *login) Manager {
	t.Helper()
	address := bus(t)
	conn := connect(t, address)
	check(t, conn.Export(l, path, "org.freedesktop.login1.Manager"))
	node := &introspect.Node{Name: string(path), Interfaces: []introspect.Interface{{Name: "org.freedesktop.login1.Manager", Methods: introspect.Methods(l)}}}
	check(t, conn.Export(introspect.NewIntrospectable(node), path, "org.freedesktop.DBus.Introspectable"))
	_, err := conn.RequestName(service, dbus.NameFlagDoNotQueue)
	check(t, err)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	return Manager{Direct: func(context.Context) error { l.note("direct"); return nil }}
}

func TestThoseWhoBlockAShutdownAreInhibitors(t *testing.T) {
	m := serve(t, &login{inhibitors: []inhibitor{
		{"shutdown:sleep", "dpkg", "installing", "block", 0, 42},
		{"shutdown", "NetworkManager", "needs time", "delay", 0, 43},
		{"sleep", "player", "plays", "block", 1000, 44},
		{"handle-power-key", "desktop", "asks", "block", 1000, 45},
		{"shutdown", "editor", "unsaved", "block-weak", 1000, 46},
		{"idle:shutdown", "backup", "writes", "block", 1000, 47},
	}})
	got, err := m.Inhibitors(t.Context())
	check(t, err)
	want := []Inhibitor{{"dpkg", "installing", 0, 42}, {"backup", "writes", 1000, 47}}
	if !slices.Equal(got, want) {
		t.Errorf("inhibitors %v, want %v", got, want)
	}
	if text := want[0].String(); text != "dpkg: installing (pid 42)" {
		t.Errorf("text %q", text)
	}
}

func TestRebootHeedsThoseWhoBlockItUnlessForced(t *testing.T) {
	for _, newer := range []bool{false, true} {
		t.Run(map[bool]string{false: "systemd 252", true: "systemd 257"}[newer], func(t *testing.T) {
			l := &login{newer: newer, inhibitors: []inhibitor{{"shutdown", "dpkg", "installing", "block", 0, 42}}}
			m := serve(t, l)
			var inhibited *InhibitedError
			if err := m.Reboot(t.Context(), "for 1.1.0", false); !errors.As(err, &inhibited) {
				t.Errorf("error %v: want an InhibitedError", err)
			}
			if slices.ContainsFunc(l.called(), func(c string) bool { return strings.HasPrefix(c, "reboot") || c == "direct" }) {
				t.Fatalf("calls %q: it rebooted", l.called())
			}
			check(t, m.Reboot(t.Context(), "for 1.1.0", true))
			l.mu.Lock()
			l.inhibitors = nil
			l.mu.Unlock()
			check(t, m.Reboot(t.Context(), "for 1.1.0", false))
			forced := map[bool]string{false: "reboot 0", true: "reboot 16"}[newer]
			wall := `wall "for 1.1.0" true`
			if want := []string{wall, wall, forced, wall, "reboot 1"}; !slices.Equal(l.called(), want) {
				t.Errorf("calls %q, want %q", l.called(), want)
			}
		})
	}
}

func TestWithoutLogindTheServiceManagerIsAsked(t *testing.T) {
	l := &login{}
	serve(t, l)
	for name, address := range map[string]string{"no logind": bus(t), "no bus": "unix:path=/nonexistent"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
			asked := false
			m := Manager{Direct: func(context.Context) error { asked = true; return nil }}
			if blocking, err := m.Inhibitors(t.Context()); err != nil || len(blocking) > 0 {
				t.Errorf("inhibitors %v, %v", blocking, err)
			}
			check(t, m.Reboot(t.Context(), "", false))
			if !asked {
				t.Error("nobody was asked")
			}
		})
	}
}

func TestLogindThatHangsIsAnErrorAndNotAReboot(t *testing.T) {
	l := &login{slow: time.Minute}
	m := serve(t, l)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("too slow"))
	defer cancel()
	if _, err := m.Inhibitors(ctx); err == nil || !strings.Contains(err.Error(), "asking logind who inhibits a reboot: too slow") {
		t.Errorf("error %v", err)
	}
	if calls := l.called(); len(calls) > 0 {
		t.Errorf("calls %q", calls)
	}
}

// TestBusctlMakesTheSameCalls holds the shapes of the service that the other
// tests talk to against a client that is not ours.
func TestBusctlMakesTheSameCalls(t *testing.T) {
	serve(t, &login{inhibitors: []inhibitor{{"shutdown", "dpkg", "installing", "block", 0, 42}}})
	out, err := exec.Command("busctl", "--address="+os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), "call", service, string(path), "org.freedesktop.login1.Manager", "ListInhibitors").CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != `a(ssssuu) 1 "shutdown" "dpkg" "installing" "block" 0 42` {
		t.Errorf("busctl: %v %s", err, got)
	}
	out, err = exec.Command("busctl", "--address="+os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), "introspect", "--no-legend", service, string(path), "org.freedesktop.login1.Manager").CombinedOutput()
	check(t, err)
	for _, want := range []string{".RebootWithFlags method t -", ".SetWallMessage method sb -", ".ListInhibitors method - a(ssssuu)"} {
		if !strings.Contains(strings.Join(strings.Fields(string(out)), " "), want) {
			t.Errorf("busctl introspect lacks %q:\n%s", want, out)
		}
	}
}
