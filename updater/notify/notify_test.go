package notify

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/progress"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen is the socket of a service manager.
func listen(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	check(t, err)
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return socket
}

func receive(t *testing.T, socket *net.UnixConn) string {
	t.Helper()
	check(t, socket.SetReadDeadline(time.Now().Add(10*time.Second)))
	message := make([]byte, 4096)
	n, err := socket.Read(message)
	check(t, err)
	return string(message[:n])
}

func TestServiceManagerIsTold(t *testing.T) {
	socket := listen(t)
	var m Manager
	for want, tell := range map[string]func(){
		"READY=1":           m.Ready,
		"STOPPING=1":        m.Stopping,
		"STATUS=waits; now": func() { m.Status("waits; now") },
		"STATUS=a b":        func() { m.Status("a\nb") },
	} {
		tell()
		if got := receive(t, socket); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestReloadCarriesTheTimeThatSystemdComparesWithItsOwn(t *testing.T) {
	socket := listen(t)
	var m Manager
	clock := func() int64 {
		var now unix.Timespec
		check(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
		return now.Nano() / 1000
	}
	before := clock()
	m.Reloading()
	var at int64
	if _, err := fmt.Sscanf(receive(t, socket), "RELOADING=1\nMONOTONIC_USEC=%d", &at); err != nil || at < before || at > clock() {
		t.Errorf("time %d after %d: %v", at, before, err)
	}
}

// TestWatchdogIsFedByWorkAlone lets a loop hang, and work, and be quiet with
// leave.
func TestWatchdogIsFedByWorkAlone(t *testing.T) {
	socket := listen(t)
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	var m Manager
	if tick := m.Tick(); tick != 10*time.Millisecond {
		t.Errorf("a beat each %s: want a quarter of the watchdog's time", tick)
	}
	ctx, cancel := context.WithCancel(t.Context())
	fed := make(chan struct{})
	go func() { m.Feed(ctx); close(fed) }()
	defer func() { cancel(); <-fed }()

	step := m.Progress(progress.Silent()).Step("write", 100)
	for range 3 {
		if got := receive(t, socket); got != "WATCHDOG=1" {
			t.Fatalf("%q", got)
		}
		step.Add(10)
	}
	drain(socket)
	silence(t, socket, "a loop that hangs")
	step.Add(0)
	silence(t, socket, "progress of nothing")
	end := m.Quiet(time.Minute)
	for range 5 {
		receive(t, socket)
	}
	end()
	receive(t, socket)
	drain(socket)
	silence(t, socket, "the end of quiet work")
	m.Quiet(time.Nanosecond)
	silence(t, socket, "work that is quiet for too long")
}

// drain reads what was sent before now.
func drain(socket *net.UnixConn) {
	for {
		socket.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := socket.Read(make([]byte, 64)); err != nil {
			return
		}
	}
}

func silence(t *testing.T, socket *net.UnixConn, during string) {
	t.Helper()
	check(t, socket.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	message := make([]byte, 64)
	if n, err := socket.Read(message); err == nil || !os.IsTimeout(err) {
		t.Errorf("%s is told as %q, %v", during, message[:n], err)
	}
}

func TestNothingHappensWithoutAServiceManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	var m Manager
	m.Ready()
	m.Status(strings.Repeat("x", 1<<20))
	m.Feed(t.Context()) // returns
	if m.Tick() != time.Minute {
		t.Errorf("a beat each %s", m.Tick())
	}
}
