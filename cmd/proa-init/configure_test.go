package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestAMachineIsConfiguredUntilSomethingIsLeftToDo(t *testing.T) {
	dir := t.TempDir()
	make := func(name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(want bool) {
		t.Helper()
		if got := isConfigured(dir); got != want {
			t.Errorf("configured: %t, want %t", got, want)
		}
	}
	want(false)
	make("configured.json")
	want(true)
	for _, name := range []string{"configure/again", "configure/pending.json"} {
		make(name)
		want(false)
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	want(true)
}

// TestTheWatchdogIsFedUntilAProgramIsLate runs one that lasts, one that hangs, and one
// that leaves a child with its output behind.
func TestTheWatchdogIsFedUntilAProgramIsLate(t *testing.T) {
	const never = time.Hour
	fed := 0
	wait := func(script string, limit time.Duration) error {
		t.Helper()
		fed = 0
		var out bytes.Buffer
		command := exec.Command("sh", "-c", script)
		command.Stdout, command.WaitDelay = &out, 10*time.Millisecond
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		return await(command, limit, time.Millisecond, func() { fed++ })
	}
	if err := wait("sleep 0.2", never); err != nil || fed == 0 {
		t.Errorf("a program that lasts: %v, and the watchdog was fed %d times", err, fed)
	}
	if err := wait("exit 3", never); err == nil || err.Error() != "exit status 3" {
		t.Errorf("a program that fails: %v", err)
	}
	if err := wait("exec sleep 1000", 50*time.Millisecond); err == nil || err.Error() != "signal: killed" {
		t.Errorf("a program that hangs: %v", err)
	}
	if err := wait("sleep 30 &", never); !errors.Is(err, exec.ErrWaitDelay) {
		t.Errorf("a program that leaves a child: %v", err)
	}
}
