package bus

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/units"
)

// privateBus starts a dbus-daemon with Debian's policy of the system bus and
// ours, and returns its address. In the daemon's eyes the tests run as root.
func privateBus(t testing.TB, allow ...string) string {
	t.Helper()
	folder := t.TempDir()
	config := systemPolicy(t)
	for path, content := range units.Elsewhere() {
		if strings.HasPrefix(path, "/usr/share/dbus-1/system.d/") {
			check(t, os.WriteFile(filepath.Join(folder, filepath.Base(path)), content, 0o644))
			config += "<include>" + filepath.Join(folder, filepath.Base(path)) + "</include>\n"
		}
	}
	for _, name := range allow {
		config += fmt.Sprintf("<policy context=\"mandatory\"><allow own=%q/><allow send_destination=%q/></policy>\n", name, name)
	}
	for _, path := range []string{folder, filepath.Dir(folder)} {
		check(t, os.Chmod(path, 0o755)) // for other users
	}
	config = fmt.Sprintf("<busconfig><listen>unix:path=%s/socket</listen>%s</busconfig>\n", folder, config)
	check(t, os.WriteFile(filepath.Join(folder, "bus.conf"), []byte(config), 0o644))
	words := []string{"dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--print-address", "--config-file=" + filepath.Join(folder, "bus.conf")}
	if os.Getuid() != 0 {
		words = append([]string{"unshare", "--map-root-user"}, words...)
	}
	daemon := exec.Command(words[0], words[1:]...)
	daemon.Stderr = t.Output()
	out, err := daemon.StdoutPipe()
	check(t, err)
	check(t, daemon.Start())
	t.Cleanup(func() { daemon.Process.Kill(); daemon.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	check(t, err)
	return strings.TrimSpace(address)
}

// systemPolicy is what the system bus' own configuration allows.
func systemPolicy(t testing.TB) string {
	text, err := os.ReadFile("/usr/share/dbus-1/system.conf")
	check(t, err)
	policies := regexp.MustCompile(`(?s)<auth>.*?</auth>|<policy.*?</policy>`).FindAllString(string(text), -1)
	if len(policies) < 3 {
		t.Fatalf("the system bus' configuration has %d policies", len(policies))
	}
	return strings.Join(policies, "\n")
}

func dial(t testing.TB, address string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// started is a service on a bus of its own.
type started struct {
	address string
	signals *Signals
	agent   *agent
	stop    func() error
}

// start serves agent; root says whether callers count as root.
func start(t testing.TB, root bool) *started {
	t.Helper()
	address := privateBus(t, "org.freedesktop.PolicyKit1")
	ctx, cancel := context.WithCancel(context.Background())
	s := &started{address, NewSignals(), newAgent(), nil}
	config := Config{Conn: dial(t, address), Agent: s.agent, Signals: s.signals, Version: "9.9"}
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, config, func(uint32) bool { return root }) }()
	var once sync.Once
	var err error
	s.stop = func() error {
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	t.Cleanup(func() { s.stop() })
	s.wait(t)
	return s
}

// wait until the name is on the bus.
func (s *started) wait(t testing.TB) {
	conn := dial(t, s.address)
	for range 500 {
		var has bool
		check(t, conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, Name).Store(&has))
		if has {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s did not come onto the bus", Name)
}

// busctl is the foreign client; it returns what it printed, and its complaint.
func (s *started) busctl(t testing.TB, args ...string) (string, string) {
	t.Helper()
	return program(t, append([]string{"busctl", "--address=" + s.address}, args...)...)
}

func (s *started) call(t testing.TB, words ...string) (string, string) {
	t.Helper()
	return s.busctl(t, append([]string{"call", "--", Name, string(Path), Interface}, words...)...)
}

// gdbus is another foreign client, which tells the error's name and text.
func (s *started) gdbus(t testing.TB, words ...string) (string, string) {
	t.Helper()
	return program(t, append([]string{"gdbus", "call", "--address", s.address, "--dest", Name, "--object-path", string(Path)}, words...)...)
}

func program(t testing.TB, words ...string) (string, string) {
	t.Helper()
	var out, problems strings.Builder
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil && problems.Len() == 0 {
		t.Fatalf("%v: %v", words, err)
	}
	return strings.TrimSpace(out.String()), strings.TrimSpace(problems.String())
}

// agent is an Agent whose work takes until it is let go.
type agent struct {
	mutex  sync.Mutex
	asked  []string
	fails  error
	status updater.Status
	goOn   chan struct{} // work ends with each value, or when it is closed
	linger chan struct{} // unless nil, interrupted work ends with it
}

func newAgent() *agent {
	a := &agent{goOn: make(chan struct{})}
	a.status.Running.Version, a.status.Running.Slot, a.status.Committed = "1.0.0", 'a', 'a'
	a.status.Running.Standing, a.status.Phase = "committed", "idle"
	return a
}

func (a *agent) note(format string, args ...any) error {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.asked = append(a.asked, fmt.Sprintf(format, args...))
	return a.fails
}

func (a *agent) list() string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return strings.Join(a.asked, "; ")
}

func (a *agent) change(change func(*agent)) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	change(a)
}

func (a *agent) work(ctx context.Context, format string, args ...any) (any, error) {
	if err := a.note(format, args...); err != nil {
		return nil, err
	}
	select {
	case <-a.goOn:
		return map[string]string{"result": "armed"}, nil
	case <-ctx.Done():
		a.note("interrupted")
		if a.linger != nil {
			<-a.linger
		}
		return nil, ctx.Err()
	}
}

func (a *agent) Status(context.Context) (updater.Status, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.status, nil
}

func (a *agent) Check(ctx context.Context) (any, error) { return a.work(ctx, "check") }

func (a *agent) Update(ctx context.Context, o UpdateOptions) (any, error) {
	return a.work(ctx, "update %+v", o)
}

func (a *agent) Rollback(ctx context.Context, o RollbackOptions) (any, error) {
	return a.work(ctx, "rollback %+v", o)
}

func (a *agent) Cancel(context.Context) (any, error) { return nil, a.note("cancel") }

func (a *agent) Unblock(_ context.Context, release string) error {
	return a.note("unblock %s", release)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
