package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/daemon"
)

// TestMetricsFollowTheSettings reads them where the settings say, before a
// reload and after it.
func TestMetricsFollowTheSettings(t *testing.T) {
	s := newService(t)
	first, second := s.host.Path("run/a.sock"), s.host.Path("run/b.sock")
	s.host.Configure(t, "policy: check\njitter: 0s\nmetrics: unix:"+first+"\n")
	cmd := s.command("run")
	check(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGTERM)
	s.await("it waits", func(st daemon.State) bool { return st.Activity == daemon.Idle && st.LastPoll != nil })
	if text := scrape(t, first); !strings.Contains(text, `version="1.0.0"`) {
		t.Errorf("metrics: %s", text)
	}
	s.host.Configure(t, "policy: staged\njitter: 0s\nmetrics: unix:"+second+"\n")
	check(t, cmd.Process.Signal(syscall.SIGHUP))
	s.await("it has the new settings", func(st daemon.State) bool { return st.Policy == "staged" })
	scrape(t, second)
	if _, err := net.Dial("unix", first); err == nil {
		t.Error("the first socket is there still")
	}
}

// scrape asks as often as it takes for somebody to listen.
func scrape(t *testing.T, socket string) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err != nil && time.Now().Before(deadline) {
			continue
		}
		check(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /metrics HTTP/1.0\r\n\r\n")
		check(t, err)
		text, err := io.ReadAll(conn)
		check(t, err)
		return string(text)
	}
}

func TestTurnIsTakenByOneAtATime(t *testing.T) {
	turn := newTurn()
	giveBack, err := turn.take(t.Context())
	check(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gave up"))
	if _, err := turn.take(ctx); err == nil || err.Error() != "gave up" {
		t.Errorf("a turn that is taken: %v", err)
	}
	giveBack()
	if _, err := turn.take(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestErrorsOfAUnitAreThoseOfItsCommand(t *testing.T) {
	var refusal *updater.Refusal
	err := unitError("3", []byte("error: slot b holds nothing to go back to\nhint: the running release stays\n"))
	if !errors.As(err, &refusal) || refusal.Error() != "slot b holds nothing to go back to" {
		t.Errorf("error %#v", err)
	}
	if err := unitError("6", nil); !errors.Is(err, updater.ErrBusy) {
		t.Errorf("error %#v", err)
	}
	if err := unitError("1", []byte("error: disk gone")); err == nil || err.Error() != "disk gone" {
		t.Errorf("error %#v", err)
	}
	var untrusted *updater.UntrustedError
	if err := unitError("4", []byte("error: bad")); !errors.As(err, &untrusted) {
		t.Errorf("error %#v", err)
	}
}

// TestRunServesTheBus asks a daemon over a bus of its own, and ends it.
func TestRunServesTheBus(t *testing.T) {
	s := newService(t)
	s.host.Configure(t, "policy: check\njitter: 0s\n")
	bus := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address")
	stdout, err := bus.StdoutPipe()
	check(t, err)
	check(t, bus.Start())
	defer bus.Wait()
	defer bus.Process.Kill()
	address, err := bufio.NewReader(stdout).ReadString('\n')
	check(t, err)
	address = strings.TrimSpace(address)

	cmd := s.command("run")
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+address)
	check(t, cmd.Start())
	defer cmd.Process.Kill()
	busctl := func(verb string, more ...string) string {
		t.Helper()
		args := append([]string{"--address=" + address, verb, "org.proa.Agent1", "/org/proa/Agent1", "org.proa.Agent1"}, more...)
		out, err := exec.Command("busctl", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("busctl %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	s.await("it has polled", func(st daemon.State) bool { return st.Activity == daemon.Idle && st.LastPoll != nil })
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if exec.Command("busctl", "--address="+address, "get-property", "org.proa.Agent1", "/org/proa/Agent1", "org.proa.Agent1", "Slot").Run() == nil {
			break
		}
	}
	if got := busctl("get-property", "RunningVersion"); got != `s "1.0.0"` {
		t.Errorf("RunningVersion %s", got)
	}
	if got := busctl("call", "Status"); !strings.Contains(got, `\"schema\":1`) {
		t.Errorf("Status %s", got)
	}
	if os.Getuid() == 0 {
		if got := busctl("call", "Cancel"); got != "t 1" {
			t.Errorf("Cancel %s", got)
		}
	}
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	check(t, cmd.Wait())
}
