package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/machine/workshop"
)

// TestCtrlCLeavesNothing interrupts a build while it waits for its standard
// input, and one while it works.
func TestCtrlCLeavesNothing(t *testing.T) {
	programs := t.TempDir()
	if err := workshop.Compile(t.Context(), programs, "cmd/proa", "cmd/proa-init"); err != nil {
		t.Fatal(err)
	}
	root, err := workshop.Appliance(t.Context(), programs)
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{"waiting for input": "-", "working": root} {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			t.Run(name+", "+signal.String(), func(t *testing.T) {
				folder := t.TempDir()
				recipe := "product: test\nplatform: qemu\nvar: 4GiB\nsources: [{tar: " + source + "}]\n"
				if err := os.WriteFile(filepath.Join(folder, "recipe.yaml"), []byte(recipe), 0o644); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(filepath.Join(programs, "proa"), "build", ".", "-o", "out", "--version", "1")
				cmd.Dir = folder
				stdin, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				defer stdin.Close()
				stderr, err := cmd.StderrPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				output := bufio.NewReader(stderr)
				if source == "-" {
					waitForWork(t, folder)
				} else if line, err := output.ReadString('\n'); err != nil { // the first step is done
					t.Fatalf("%v: %s", err, line)
				}
				cmd.Process.Signal(signal)
				rest, _ := io.ReadAll(output)
				var exit *exec.ExitError
				if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
					t.Errorf("ended with %v, want exit code 130", err)
				}
				if !strings.HasSuffix(string(rest), "error: interrupted\n") {
					t.Errorf("it said %q", rest)
				}
				left, err := os.ReadDir(folder)
				if err != nil || len(left) != 1 {
					t.Errorf("left behind: %v, %v", left, err)
				}
			})
		}
	}
}

// waitForWork waits until the build has made its working folder.
func waitForWork(t *testing.T, folder string) {
	t.Helper()
	for range 200 {
		if found, _ := filepath.Glob(filepath.Join(folder, ".out.building-*")); len(found) > 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the build does not begin")
}
