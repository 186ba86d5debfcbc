package hooks

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/proa-os/proa/updater/units"
)

// systemd is a service manager with the interface of the real one.
type systemd struct {
	conn   *dbus.Conn
	result string // of each job; "" for never

	mutex      sync.Mutex
	asked      []string
	subscribed bool
}

func (s *systemd) note(what string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.asked = append(s.asked, what)
}

func (s *systemd) list() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return strings.Join(s.asked, "; ")
}

func (s *systemd) Subscribe() *dbus.Error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.subscribed = true
	return nil
}

const job = dbus.ObjectPath("/org/freedesktop/systemd1/job/7")

func (s *systemd) StartUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	s.note("start " + name + " " + mode)
	if s.result == "no such unit" {
		return "", dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit " + name + " not found."})
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.subscribed && s.result != "" {
		// The end may be told before the answer to the start.
		s.conn.Emit(path, manager+".JobRemoved", uint32(6), dbus.ObjectPath("/org/freedesktop/systemd1/job/6"), "other.service", "failed")
		s.conn.Emit(path, manager+".JobRemoved", uint32(7), job, name, s.result)
	}
	return job, nil
}

func (s *systemd) Cancel() *dbus.Error {
	s.note("cancel")
	return nil
}

func fake(t *testing.T, result string) (*systemd, Systemd) {
	t.Helper()
	daemon := exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--nosyslog", "--print-address", "--address=unix:path="+filepath.Join(t.TempDir(), "bus"))
	daemon.Stderr = t.Output()
	out, err := daemon.StdoutPipe()
	check(t, err)
	check(t, daemon.Start())
	t.Cleanup(func() { daemon.Process.Kill(); daemon.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	check(t, err)
	connect := func(context.Context) (*dbus.Conn, error) { return dbus.Connect(strings.TrimSpace(address)) }
	conn, err := connect(t.Context())
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	s := &systemd{conn: conn, result: result}
	check(t, conn.Export(s, path, manager))
	check(t, conn.Export(s, job, service+".Job"))
	_, err = conn.RequestName(service, dbus.NameFlagDoNotQueue)
	check(t, err)
	return s, Systemd{Connect: connect, Limit: 20 * time.Second}
}

func TestTheAnswerOfWhatHangsOnAHookIsHeard(t *testing.T) {
	t.Parallel()
	for result, want := range map[string]string{
		"done":         "",
		"dependency":   "proa-update-before.target: dependency",
		"timeout":      "proa-update-before.target: timeout",
		"no such unit": "proa-update-before.target: Unit proa-update-before.target not found.",
	} {
		manager, hooks := fake(t, result)
		err := hooks.Run(t.Context(), UpdateBefore)
		if got := words(err); got != want {
			t.Errorf("%s: %q: want %q", result, got, want)
		}
		if manager.list() != "start proa-update-before.target replace" {
			t.Errorf("%s: systemd was asked to %s", result, manager.list())
		}
	}
}

func TestAHookThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	manager, hooks := fake(t, "")
	hooks.Limit = 100 * time.Millisecond
	if got := words(hooks.Run(t.Context(), RebootBefore)); got != "proa-reboot-before.target: not started within 100ms" {
		t.Errorf("a hook that hangs: %q", got)
	}
	if want := "start proa-reboot-before.target replace; cancel"; manager.list() != want {
		t.Errorf("systemd was asked to %s: want %s", manager.list(), want)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped"))
	if err := hooks.Run(ctx, RebootBefore); err == nil {
		t.Error("a hook of somebody who has stopped is no error")
	}
}

func TestNobodyWaitsForWhatIsAnnounced(t *testing.T) {
	t.Parallel()
	manager, hooks := fake(t, "")
	check(t, hooks.Announce(t.Context(), Committed))
	if want := "start proa-committed.target replace"; manager.list() != want {
		t.Errorf("systemd was asked to %s: want %s", manager.list(), want)
	}
}

func TestWithoutABusAHookIsAnError(t *testing.T) {
	t.Parallel()
	hooks := Systemd{Connect: func(context.Context) (*dbus.Conn, error) { return nil, errors.New("no bus") }}
	if got := words(hooks.Run(t.Context(), UpdateBefore)); got != "proa-update-before.target: no bus" {
		t.Errorf("%q", got)
	}
}

// systemd-analyze loads the targets, each with a service that hangs on it.
func TestSystemdKnowsTheTargetOfEveryHook(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	var targets []string
	for name, content := range units.Files() {
		if strings.HasSuffix(name, ".target") {
			targets = append(targets, name)
			check(t, os.WriteFile(filepath.Join(folder, name), content, 0o644))
			hung := "[Unit]\nDescription=x\n[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nRequiredBy=" + name + "\n"
			check(t, os.WriteFile(filepath.Join(folder, name+"-x.service"), []byte(hung), 0o644))
		}
	}
	var want []string
	for _, hook := range All() {
		want = append(want, string(hook))
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(folder, string(hook))).CombinedOutput()
		if err != nil || strings.Contains(string(out), string(hook)) {
			t.Errorf("%s: %v\n%s", hook, err, out)
		}
	}
	slices.Sort(want)
	slices.Sort(targets)
	if !slices.Equal(targets, want) {
		t.Errorf("targets %v: want %v", targets, want)
	}
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
