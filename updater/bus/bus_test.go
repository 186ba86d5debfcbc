package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/events"
)

func TestEverybodyMayReadTheStatus(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	out, problem := s.busctl(t, "--json=short", "call", Name, string(Path), Interface, "Status")
	var reply struct {
		Type string
		Data []string
	}
	check(t, json.Unmarshal([]byte(out), &reply))
	want, err := json.Marshal(s.agent.status)
	check(t, err)
	if reply.Type != "s" || len(reply.Data) != 1 || reply.Data[0] != string(want) {
		t.Errorf("status is %s %s: want %s", out, problem, want)
	}
	out, problem = s.busctl(t, "get-property", Name, string(Path), Interface, "Version", "RunningVersion", "Slot", "Committed", "Standing", "Phase", "Available", "Degraded")
	if lines := "s \"9.9\"\ns \"1.0.0\"\ns \"a\"\ns \"a\"\ns \"committed\"\ns \"idle\"\ns \"\"\ns \"\""; out != lines {
		t.Errorf("properties are\n%s%s\nwant\n%s", out, problem, lines)
	}
}

func TestManyCallersOfStatusAreBounded(t *testing.T) {
	s := start(t, false)
	object := dial(t, s.address).Object(Name, Path)
	s.agent.mutex.Lock()
	before := runtime.NumGoroutine()
	for range 5000 {
		object.Go(Interface+".Status", dbus.FlagNoReplyExpected, nil)
	}
	answers := make(chan *dbus.Call, readersMost+20)
	for range cap(answers) {
		object.Go(Interface+".Status", 0, answers)
	}
	var refused dbus.Error
	for range 20 {
		if err := (<-answers).Err; !errors.As(err, &refused) || refused.Name != tooMany {
			t.Errorf("error %v: want %s", err, tooMany)
		}
	}
	if more := runtime.NumGoroutine() - before; more > 1000 {
		t.Errorf("%d goroutines more than before", more)
	}
	s.agent.mutex.Unlock()
	for range readersMost {
		check(t, (<-answers).Err)
	}
}

func TestAStatusThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		Refused:   fmt.Errorf("x: %w", &updater.Refusal{Reason: "older"}),
		Untrusted: &updater.UntrustedError{Err: errors.New("expired")},
		Network:   &updater.NetworkError{Err: errors.New("refused")},
		Busy:      fmt.Errorf("x: %w", updater.ErrBusy),
		Cancelled: &updater.NetworkError{Err: context.Canceled},
		Failed:    errors.New("disk: input/output error"),
		Done:      nil,
	} {
		if got := resultOf(err); got != want {
			t.Errorf("%v: %s: want %s", err, got, want)
		}
	}
}

func TestForeignClientsUnderstandTheIntrospection(t *testing.T) {
	t.Parallel()
	s := start(t, true)
	out, problem := s.busctl(t, "introspect", Name, string(Path))
	for _, line := range []string{
		"org.proa.Agent1 interface - - -",
		".Cancel method - t -",
		".Check method - t -",
		".Rollback method a{sv} t -",
		".Status method - s -",
		".Unblock method s - -",
		".Update method a{sv} t -",
		`.Available property s "" emits-change`,
		`.Version property s "9.9" const`,
		".Event signal ssa{ss} - -",
		".JobNew signal ts - -",
		".JobRemoved signal tssss - -",
		".Progress signal tsxx - -",
		".PropertiesChanged signal sa{sv}as - -",
	} {
		spaced := regexp.MustCompile(`(?m)^` + strings.ReplaceAll(regexp.QuoteMeta(line), " ", ` +`) + `$`)
		if !spaced.MatchString(out) {
			t.Errorf("busctl does not show %q:\n%s%s", line, out, problem)
		}
	}
	out, problem = program(t, "gdbus", "introspect", "--address", s.address, "--dest", Name, "--object-path", string(Path))
	if !strings.Contains(out, "Update(in  a{sv} options,") {
		t.Errorf("gdbus shows %s%s", out, problem)
	}
	if out, problem = program(t, "dbus-send", "--bus="+s.address, "--print-reply", "--dest="+Name, string(Path), "org.freedesktop.DBus.Peer.Ping"); problem != "" {
		t.Errorf("ping: %s%s", out, problem)
	}
}

func TestAJobTellsOfItsStepsAndItsEnd(t *testing.T) {
	t.Parallel()
	s := start(t, true)
	heard := s.listen(t)
	out, problem := s.call(t, "Update", "a{sv}", "2", "now", "b", "true", "retry-blocked", "b", "true")
	if out != "t 1" {
		t.Fatalf("update: %s %s", out, problem)
	}
	// busctl, the caller, has ended; its job goes on.
	heard.expect(t, "JobNew 1 update")
	step := s.signals.Step("write root image", 100)
	heard.expect(t, "Progress 1 write root image 0 100")
	step.Add(60)
	step.Add(40)
	step.Done(nil)
	heard.expect(t, "Progress 1 write root image 100 100")
	s.agent.change(func(a *agent) { a.status.Phase = "armed" })
	s.signals.Event(events.Event{Kind: events.Armed, Version: "1.1.0", Slot: 'b', Text: "zero \x00, no text \xff", Fields: map[string]string{events.Tries: "1"}})
	heard.expect(t, "PropertiesChanged org.proa.Agent1 map[Phase:\"armed\"] []")
	heard.expect(t, "Event armed Trial armed: release 1.1.0, slot b: zero \uFFFD, no text \uFFFD map[reason:zero \uFFFD, no text \uFFFD slot:b tries:1 version:1.1.0]")
	s.agent.goOn <- struct{}{}
	heard.expect(t, `JobRemoved 1 update Done  {"result":"armed"}`)
	if want := "update {RetryBlocked:true Stage:false Now:true}"; s.agent.list() != want {
		t.Errorf("the agent was asked to %s: want %s", s.agent.list(), want)
	}
}

func TestOneJobRunsAtATimeAndCancelEndsIt(t *testing.T) {
	t.Parallel()
	s := start(t, true)
	heard := s.listen(t)
	if out, problem := s.call(t, "Rollback", "a{sv}", "1", "reboot", "b", "true"); out != "t 1" {
		t.Fatalf("rollback: %s %s", out, problem)
	}
	heard.expect(t, "JobNew 1 rollback")
	if _, problem := s.call(t, "Check"); !strings.Contains(problem, "job 1, rollback, is running") {
		t.Errorf("a second job: %s", problem)
	}
	if out, problem := s.call(t, "Cancel"); out != "t 2" {
		t.Fatalf("cancel: %s %s", out, problem)
	}
	heard.expect(t, "JobRemoved 1 rollback Cancelled cancelled ")
	heard.expect(t, "JobNew 2 cancel")
	heard.expect(t, "JobRemoved 2 cancel Done  ")
	if want := "rollback {Reboot:true}; interrupted; cancel"; s.agent.list() != want {
		t.Errorf("the agent was asked to %s: want %s", s.agent.list(), want)
	}
	s.agent.change(func(a *agent) { a.fails = updater.ErrBusy })
	if out, problem := s.call(t, "Check"); out != "t 3" {
		t.Fatalf("a job after the cancelled one: %s %s", out, problem)
	}
	heard.expect(t, "JobNew 3 check")
	heard.expect(t, "JobRemoved 3 check Busy another proa-agent is running ")
}

func TestTheDaemonsEndWaitsForTheJob(t *testing.T) {
	t.Parallel()
	s := start(t, true)
	heard := s.listen(t)
	if out, problem := s.call(t, "Check"); out != "t 1" {
		t.Fatalf("check: %s %s", out, problem)
	}
	heard.expect(t, "JobNew 1 check")
	s.agent.linger = make(chan struct{})
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for s.agent.list() != "check; interrupted" {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-stopped:
		t.Fatal("the service ended before its job")
	case <-time.After(50 * time.Millisecond):
	}
	close(s.agent.linger)
	check(t, <-stopped)
	heard.expect(t, "JobRemoved 1 check Cancelled context canceled ")
	if _, problem := s.call(t, "Check"); !strings.Contains(problem, "not provided") && !strings.Contains(problem, "not known") && !strings.Contains(problem, "was not") {
		t.Errorf("after the end: %s", problem)
	}
}

func TestBadInputIsNamedAndDoesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, true)
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct{ call, want string }{
		{"Update a{sv} 1 force b true", `option "force": want one of [now retry-blocked stage]`},
		{"Update a{sv} 1 now s yes", `option "now" has type "s": want a boolean`},
		{"Update a{ss} 1 now true", `arguments of type "a{ss}": want "a{sv}"`},
		{"Update a{sv} 1 " + long + " b true", `of 100000 bytes: want one of`},
		{"Update", "Invalid type / number of args"},
		{"Update s now", "Invalid type / number of args"},
		{"Check s now", "Invalid type / number of args"},
		{"Rollback a{sv} 1 now b true", `option "now": want one of [reboot]`},
		{"Unblock s " + long, "release of 100000 bytes: want a digest or a version, 1 to 128"},
		{"Unblock t 1", `arguments of type "t": want "s"`},
		{"Downgrade", "Unknown / invalid method 'Downgrade'"},
	} {
		if out, problem := s.call(t, strings.Fields(c.call)...); out != "" || !strings.Contains(problem, c.want) || len(problem) > 300 {
			t.Errorf("%.40s: %s %.400s: want %s", c.call, out, problem, c.want)
		}
	}
	if _, problem := s.call(t, "Unblock", "s", ""); !strings.Contains(problem, "release of 0 bytes") {
		t.Errorf("unblock nothing: %s", problem)
	}
	for _, c := range []struct{ property, want string }{
		{"Phase s idle", `cannot be written`},
		{"Colour s red", "no such property"},
	} {
		words := append([]string{"set-property", Name, string(Path), Interface}, strings.Fields(c.property)...)
		if _, problem := s.busctl(t, words...); !strings.Contains(problem, c.want) {
			t.Errorf("%s: %s: want %s", c.property, problem, c.want)
		}
	}
	if s.agent.list() != "" {
		t.Errorf("the agent was asked to %s", s.agent.list())
	}
	if out, problem := s.call(t, "Unblock", "s", "1.2.0"); problem != "" || s.agent.list() != "unblock 1.2.0" {
		t.Errorf("unblock: %s %s; the agent was asked to %q", out, problem, s.agent.list())
	}
	s.agent.change(func(a *agent) { a.fails = &updater.Refusal{Reason: "nothing is blocked"} })
	if _, problem := program(t, "dbus-send", "--bus="+s.address, "--print-reply", "--dest="+Name, string(Path), Interface+".Unblock", "string:1.2.0"); !strings.Contains(problem, "org.proa.Agent1.Error.Refused: nothing is blocked") {
		t.Errorf("a refusal: %s", problem)
	}
}

func TestOnlyOneIsTheAgent(t *testing.T) {
	t.Parallel()
	s := start(t, true)
	err := Serve(t.Context(), Config{Conn: dial(t, s.address), Agent: s.agent, Signals: NewSignals()})
	if err == nil || !strings.Contains(err.Error(), "org.proa.Agent1 is taken") {
		t.Errorf("a second service: %v", err)
	}
	conn := dial(t, s.address)
	ended := make(chan error, 1)
	check(t, s.stop())
	go func() {
		ended <- Serve(context.Background(), Config{Conn: conn, Agent: s.agent, Signals: NewSignals()})
	}()
	s.wait(t)
	conn.Close()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "went away") {
		t.Errorf("without its bus, Serve says %v", err)
	}
}

func TestSignalsThatNobodyServesHoldNobodyUp(t *testing.T) {
	t.Parallel()
	signals := NewSignals()
	for range 10 * queueMost {
		signals.Event(events.Event{Kind: events.Armed})
		step := signals.Step("x", 1)
		step.Add(1)
		step.Done(nil)
	}
	if n := len(signals.queue); n != queueMost {
		t.Errorf("%d signals wait: want %d", n, queueMost)
	}
}

// Only root may own the name, says our part of the bus' policy.
func TestTheBusLetsOnlyRootBeTheAgent(t *testing.T) {
	t.Parallel()
	address := privateBus(t)
	request := []string{"busctl", "--address=" + address, "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", "su", Name, "4"}
	if out, problem := program(t, request...); out != "u 1" {
		t.Errorf("root may not be the agent: %s %s", out, problem)
	}
	if os.Getuid() != 0 {
		return // the daemon's root is this user, and there is no other
	}
	stranger := append([]string{"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"}, request...)
	if out, problem := program(t, stranger...); !strings.Contains(problem, "Access denied") {
		t.Errorf("a stranger may be the agent: %s %s", out, problem)
	}
}

// heard is what a client heard on the bus.
type heard struct{ signals chan *dbus.Signal }

func (s *started) listen(t testing.TB) heard {
	conn := dial(t, s.address)
	check(t, conn.AddMatchSignal(dbus.WithMatchObjectPath(Path)))
	h := heard{make(chan *dbus.Signal, 1000)}
	conn.Signal(h.signals)
	return h
}

// expect waits for a signal, and passes over progress.
func (h heard) expect(t testing.TB, want string) {
	t.Helper()
	var others []string
	for {
		select {
		case signal := <-h.signals:
			words := []string{signal.Name[strings.LastIndexByte(signal.Name, '.')+1:]}
			for _, value := range signal.Body {
				words = append(words, fmt.Sprint(value))
			}
			got := strings.Join(words, " ")
			if got == want {
				return
			}
			if others = append(others, got); !strings.HasPrefix(got, "Progress") {
				t.Fatalf("heard %q: want %q", slices.Compact(others), want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("did not hear %q; heard %q", want, others)
		}
	}
}
