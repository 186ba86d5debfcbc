package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/updater/daemon"
	"github.com/proa-os/proa/updater/testhost"
)

// service is the real program on a host of plain files.
type service struct {
	*world
	t       *testing.T
	program string
}

func newService(t *testing.T) service {
	return service{newWorld(t, 1), t, program(t)}
}

func (s service) command(args ...string) *exec.Cmd {
	return exec.Command(s.program, append([]string{"--host", s.host.File(s.t)}, args...)...)
}

// exits runs a command and holds its exit code and what it says.
func (s service) exits(code int, says string, args ...string) {
	s.t.Helper()
	var said bytes.Buffer
	cmd := s.command(args...)
	cmd.Stderr = &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(said.String(), says) {
		s.t.Errorf("%v ended with %d, want %d, and said\n%s", args, got, code, said.String())
	}
}

// leads holds what the next boot comes to.
func (s service) leads(slot, version string) {
	s.t.Helper()
	if booted := s.host.Boot(s.t); booted.Slot.String() != slot || string(booted.Release.Release.Version) != version {
		s.t.Errorf("booted %s in slot %s, want %s in %s", booted.Release.Release.Version, booted.Slot, version, slot)
	}
}

func TestRunOnceGoesAsFarAsPolicyAndWindowsAllow(t *testing.T) {
	s := newService(t)
	s.publish(t, testhost.Spec{Version: "1.1.0"})
	for _, settings := range []string{
		"policy: check\n",
		"policy: staged\n",
		"windows: [{start: 2199-01-01 UTC, length: 1m}]\n",
	} {
		s.host.Configure(t, settings)
		s.exits(0, "", "run", "--once")
		if s.host.Resets(t) != 0 {
			t.Errorf("it rebooted with %s", settings)
		}
		s.leads("a", "1.0.0")
	}
	s.host.Configure(t, "windows: [{start: minutely, length: 1h}]\n")
	s.exits(0, "", "run", "--once")
	if s.host.Resets(t) != 1 {
		t.Errorf("%d reboots inside a window", s.host.Resets(t))
	}
	s.leads("b", "1.1.0")
	s.host.Configure(t, "watch: 0s\n")
	s.exits(0, "", "judge")
	s.exits(0, "", "watch")
	s.exits(0, "", "run", "--once")
	s.leads("b", "1.1.0")
	if _, err := os.Stat(s.host.Path("run/agent.json")); !os.IsNotExist(err) {
		t.Errorf("agent.json is there still: %v", err)
	}
}

func TestRunOnceTellsItsErrorsByItsExitCode(t *testing.T) {
	s := newService(t)
	s.exits(3, "no such target", "run", "--once")
	s.server.Close()
	s.exits(7, "hint: check the network", "run", "--once")
	s.host.Configure(t, "windows: [{start: 'Fri..Mon 01:00', length: 1h}]\n")
	s.exits(2, `weekdays "Fri..Mon": the range ends before it begins`, "run", "--once")
	s.exits(2, "run", "run", "--once", "--now")
}

// TestRunHeedsSignals polls on SIGUSR1, reads its settings on SIGHUP, keeps the
// old ones when there is a fault in the new, and ends on SIGTERM.
func TestRunHeedsSignals(t *testing.T) {
	s := newService(t)
	s.host.Configure(t, "policy: check\njitter: 1h\n")
	cmd := s.command("run")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	check(t, err)
	defer log.Close()
	cmd.Stderr = log
	check(t, cmd.Start())
	ended := false
	defer func() {
		if !ended {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}()
	s.await("it waits", func(st daemon.State) bool { return st.Activity == daemon.Idle && st.LastPoll == nil })

	check(t, cmd.Process.Signal(syscall.SIGUSR1))
	s.await("it polled", func(st daemon.State) bool { return st.Activity == daemon.Idle && st.LastPoll != nil })

	s.host.Configure(t, "policy: some\n")
	check(t, cmd.Process.Signal(syscall.SIGHUP))
	s.await("it tells of the fault and keeps its settings", func(st daemon.State) bool {
		told, err := os.ReadFile(log.Name())
		check(t, err)
		return strings.Contains(string(told), "want automatic, staged or check") && st.Policy == "check"
	})
	s.host.Configure(t, "policy: staged\njitter: 0s\n")
	check(t, cmd.Process.Signal(syscall.SIGHUP))
	s.await("it has the new settings", func(st daemon.State) bool { return st.Policy == "staged" })

	s.publish(t, testhost.Spec{Version: "1.1.0"})
	check(t, cmd.Process.Signal(syscall.SIGUSR1))
	s.await("it staged the release", func(st daemon.State) bool {
		return st.Staged == "1.1.0" && strings.Contains(st.WaitsFor, "update --now")
	})

	// It has polled, staged a release and given back what that took.
	const most = 25 << 10 // KiB
	if resident := residentKiB(t, cmd.Process.Pid); resident > most {
		t.Errorf("idle it takes %d KiB of memory, more than %d", resident, most)
	} else {
		t.Logf("idle it takes %d KiB of memory", resident)
	}

	check(t, cmd.Process.Signal(syscall.SIGTERM))
	check(t, cmd.Wait())
	ended = true
	s.leads("a", "1.0.0")
}

// await waits until what the daemon publishes is as wanted.
func (s service) await(what string, is func(daemon.State) bool) {
	s.t.Helper()
	var text []byte
	for range 600 {
		var state daemon.State
		var err error
		text, err = os.ReadFile(s.host.Path("run/agent.json"))
		if err == nil && json.Unmarshal(text, &state) == nil && is(state) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("%s: never; the daemon says %s", what, text)
}

// residentKiB is a process's VmRSS (proc_pid_status(5)).
func residentKiB(t *testing.T, pid int) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	check(t, err)
	_, rest, _ := strings.Cut(string(status), "\nVmRSS:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("VmRSS of %d: %v", pid, err)
	}
	return kib
}
