package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/machine/debian"
)

// demo is the stage: a folder for everything it makes, the programs, the
// server and the virtual machine.
type demo struct {
	began    time.Time
	checkout string
	folder   string // everything the demo makes, but for the cache
	summary  []entry

	repository string // as the machine sees it
	port       string
	server     *exec.Cmd
	machine    *machine.Machine
	boot       *machine.Boot
}

func newDemo() (*demo, error) {
	cache, err := debian.CheckoutDir()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(cache, "demo")
	if err := os.RemoveAll(folder); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return &demo{
		began:      time.Now(),
		checkout:   filepath.Dir(cache),
		folder:     folder,
		port:       port,
		repository: "http://10.0.2.2:" + port, // the host's loopback, seen from a QEMU guest
	}, nil
}

// freePort finds a port of loopback that nobody uses.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// close ends what still runs. After a failure the logs stay, and it says where.
func (d *demo) close(failed bool) {
	if d.boot != nil && !d.boot.Ended() {
		if failed {
			fmt.Fprintf(os.Stderr, "\nlast lines of the console:\n%s\n", d.boot.Console(30))
		}
		d.boot.PowerCut()
	}
	if d.server != nil {
		d.server.Process.Signal(syscall.SIGTERM)
		d.server.Wait()
	}
	if failed {
		fmt.Fprintf(os.Stderr, "logs and images are kept in %s\n", d.folder)
		return
	}
	os.RemoveAll(d.folder)
	fmt.Println("\nCleaned up. The packages are kept in .build for the next time; 'make clean' removes them.")
}

// proa runs the program in the demo's folder and shows the command.
func (d *demo) proa(ctx context.Context, args ...string) (string, error) {
	say("$ proa %s", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, filepath.Join(d.checkout, "bin", "proa"), args...)
	cmd.Dir = d.folder
	cmd.Env = append(os.Environ(), "PROA_CACHE="+filepath.Join(d.checkout, ".build", "cache"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("proa %s: %w\n%s", args[0], err, stderr.String())
	}
	return stdout.String(), nil
}

// show prints the first lines of what a command printed, and the last one.
func (d *demo) show(out string, most int) {
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	for i, line := range lines {
		switch last := len(lines) - 1; {
		case i < most || i == last && most > 1:
			say("%s", line)
		case i == most && most > 1:
			say("  … %d lines more", last-most)
		}
	}
}

// startServer runs 'proa serve' until the demo ends, and waits until it listens.
func (d *demo) startServer() error {
	address := "127.0.0.1:" + d.port
	say("$ proa serve repo --listen %s &", address)
	d.server = exec.Command(filepath.Join(d.checkout, "bin", "proa"), "serve", "repo", "--listen", address)
	d.server.Dir = d.folder
	d.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := d.server.Start(); err != nil {
		d.server = nil
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
	}
	return errors.New("proa serve does not listen")
}

// guest runs a command in the guest as root, shows it with what it prints, and
// wants the given exit code.
func (d *demo) guest(ctx context.Context, wantExit int, command string) (string, error) {
	say("guest# %s", command)
	result, err := d.boot.Run(ctx, command)
	if err != nil {
		return "", err
	}
	for in := bufio.NewScanner(strings.NewReader(result.Stdout + result.Stderr)); in.Scan(); {
		say("       %s", in.Text())
	}
	if result.ExitCode != wantExit {
		return "", fmt.Errorf("%s: exit code %d, want %d", command, result.ExitCode, wantExit)
	}
	if wantExit != 0 {
		say("       (exit code %d)", wantExit)
	}
	return result.Stdout, nil
}

// awaitReboot waits until the guest has gone down by itself.
func (d *demo) awaitReboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	reason, err := d.boot.Wait(ctx)
	if err != nil {
		return err
	}
	say("%.0f s after power-on the machine went down by itself: %s", time.Since(d.boot.Start).Seconds(), reason)
	return nil
}

// awaitAgent waits until the daemon in the guest has asked the repository and
// has nothing to do.
func (d *demo) awaitAgent(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	_, err := d.boot.Run(ctx, `until grep -q '"idle"' /run/proa/agent.json && grep -q lastPoll /run/proa/agent.json; do sleep 1; done`)
	return err
}
