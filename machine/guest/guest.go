// Package guest is the guest's end of the channel that package machine talks
// through: for test images only, since it hands a root shell to whoever
// started the virtual machine.
//
// The protocol: one JSON object to a line. The guest says hello whenever it
// starts; then the host sends a Request for each command and gets a Response
// with the same id when the command has ended. Commands run side by side.
package guest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// PortName is the name of the virtio-serial port.
const PortName = "proa.guest"

// The bounds of the protocol, in bytes.
const (
	OutputMost = 1 << 20               // of a command's output and error output, each; the rest is dropped
	LineMost   = 3*OutputMost + 64<<10 // of a line: two outputs in base64
)

// Request asks for a command to be run by "sh -c".
type Request struct {
	ID      int    `json:"id"`
	Command string `json:"command"`
}

// Response is a hello, or how the command with that id ended.
type Response struct {
	Hello    bool   `json:"hello,omitempty"`
	ID       int    `json:"id,omitempty"`
	ExitCode int    `json:"exitCode"` // 128 + the signal's number when a signal ended it
	Stdout   []byte `json:"stdout,omitempty"`
	Stderr   []byte `json:"stderr,omitempty"`
	Error    string `json:"error,omitempty"` // the command could not be started
}

// OpenPort opens the channel's port. It waits until the driver has made it, or
// ctx ends. No udev is needed: the device is found by its name in sysfs.
func OpenPort(ctx context.Context) (*os.File, error) {
	for {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil || strings.TrimSpace(string(text)) != PortName {
				continue
			}
			return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(name)), os.O_RDWR, 0)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("looking for the virtio-serial port %s: %w", PortName, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Serve says hello and answers requests until the port ends or ctx does.
func Serve(ctx context.Context, port io.ReadWriter) error {
	out := &lineWriter{w: port}
	if err := out.write(Response{Hello: true}); err != nil {
		return fmt.Errorf("saying hello: %w", err)
	}
	lines := bufio.NewScanner(port)
	lines.Buffer(nil, LineMost)
	for lines.Scan() {
		var request Request
		if json.Unmarshal(lines.Bytes(), &request) != nil {
			continue
		}
		go func() {
			// The host learns of a lost answer by the end of the boot.
			_ = out.write(run(ctx, request))
		}()
	}
	return errors.Join(lines.Err(), ctx.Err())
}

func run(ctx context.Context, request Request) Response {
	response := Response{ID: request.ID}
	var stdout, stderr limitedBuffer
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", request.Command)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A background process that keeps the pipes open must not hold the answer.
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	response.Stdout, response.Stderr = stdout.kept.Bytes(), stderr.kept.Bytes()
	var exit *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
	case errors.As(err, &exit):
		response.ExitCode = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			response.ExitCode = 128 + int(status.Signal())
		}
	default:
		response.Error = err.Error()
	}
	return response
}

// lineWriter writes whole lines, one at a time.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) write(r Response) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.w.Write(append(line, '\n'))
	return err
}

// limitedBuffer keeps the first OutputMost bytes. It does not embed the buffer:
// the ReadFrom of bytes.Buffer would go round the limit.
type limitedBuffer struct{ kept bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	room := OutputMost - b.kept.Len()
	b.kept.Write(p[:min(room, len(p))])
	return len(p), nil
}
