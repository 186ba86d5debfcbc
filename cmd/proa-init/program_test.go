package main

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"testing"
	"time"
)

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

// TestAProgramThatHangsDoesNotFeedTheWatchdog has one that computes, and one that waits
// for each byte it copies, and then for one that does not come.
func TestAProgramThatHangsDoesNotFeedTheWatchdog(t *testing.T) {
	fed := 0
	start := func(t *testing.T, name string, args ...string) (in io.Writer, out io.Reader, look func()) {
		t.Helper()
		command := exec.Command(name, args...)
		in, inErr := command.StdinPipe()
		out, outErr := command.StdoutPipe()
		if err := errors.Join(inErr, outErr, command.Start()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			command.Process.Kill()
			command.Wait()
		})
		return in, out, whileAhead(command.Process.Pid, func() { fed++ })
	}
	wantFed := func(t *testing.T, look func()) {
		t.Helper()
		before := fed
		for deadline := time.Now().Add(10 * time.Second); fed == before; time.Sleep(time.Millisecond) {
			if look(); time.Now().After(deadline) {
				t.Fatal("the watchdog is not fed")
			}
		}
	}

	t.Run("computes", func(t *testing.T) {
		_, _, look := start(t, "sh", "-c", "while :; do :; done")
		for range 3 {
			wantFed(t, look)
		}
	})
	t.Run("waits", func(t *testing.T) {
		in, out, look := start(t, "cat")
		for range 3 {
			hangs := 0 // looks in a row
			for looks := 0; hangs < 200; looks++ {
				if looks == 5000 {
					t.Fatal("the watchdog is fed though nothing goes on")
				}
				before := fed
				time.Sleep(time.Millisecond)
				if look(); fed == before {
					hangs++
				} else {
					hangs = 0
				}
			}
			if _, err := in.Write([]byte{'x'}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			wantFed(t, look)
		}
	})
}
