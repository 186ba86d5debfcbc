package main

import (
	"context"
	"errors"
	"io"
	"net"
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
