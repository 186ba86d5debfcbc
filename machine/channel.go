package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/proa-os/proa/machine/guest"
)

// PortName is the name of the virtio-serial port that the guest's end of the
// channel listens on.
const PortName = guest.PortName

// Result is what a command in the guest did.
type Result struct {
	ExitCode int    // 128 + the signal's number when a signal ended it
	Stdout   string // at most guest.OutputMost bytes, as is Stderr
	Stderr   string
}

// errRestarted ends the commands that were under way when the guest's program
// started again.
var errRestarted = errors.New("the guest's program started again")

// conn is a connection whose writes can be given up.
type conn interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
}

// channel is the host's end of the guest channel: see package guest for the
// protocol.
type channel struct {
	conn  conn
	ready chan struct{} // closed at the first hello

	mu      sync.Mutex
	next    int
	pending map[int]chan guest.Response
	greeted bool
	torn    bool // a line was given up in the middle
}

func newChannel(host conn) *channel {
	c := &channel{conn: host, ready: make(chan struct{}), pending: map[int]chan guest.Response{}}
	go c.receive()
	return c
}

func (c *channel) close() { c.conn.Close() }

// receive hands each answer to whoever waits for it, until the connection ends.
func (c *channel) receive() {
	lines := bufio.NewScanner(c.conn)
	lines.Buffer(nil, guest.LineMost)
	for lines.Scan() {
		var r guest.Response
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue // a line torn by a reset
		}
		c.mu.Lock()
		if r.Hello {
			if !c.greeted {
				c.greeted = true
				close(c.ready)
			}
			for id, waiting := range c.pending {
				close(waiting)
				delete(c.pending, id)
			}
		} else if waiting, ok := c.pending[r.ID]; ok {
			waiting <- r
			delete(c.pending, r.ID)
		}
		c.mu.Unlock()
	}
}

// send writes a request; the answer comes on the returned channel, which is
// closed without one when the guest's program starts again. A guest that does
// not read blocks it until ctx ends.
func (c *channel) send(ctx context.Context, command string) (int, <-chan guest.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	line, err := json.Marshal(guest.Request{ID: c.next, Command: command})
	if err != nil {
		return 0, nil, err
	}
	line = append(line, '\n')
	if c.torn {
		line = append([]byte{'\n'}, line...)
	}
	answer := make(chan guest.Response, 1)
	c.pending[c.next] = answer
	if err := c.write(ctx, line); err != nil {
		c.torn = true
		delete(c.pending, c.next)
		return 0, nil, err
	}
	c.torn = false
	return c.next, answer, nil
}

// write writes until ctx ends.
func (c *channel) write(ctx context.Context, line []byte) error {
	if err := c.conn.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		_ = c.conn.SetWriteDeadline(time.Now())
	})
	_, err := c.conn.Write(line)
	if !stop() {
		<-fired // before somebody else's write
	}
	return err
}

func (c *channel) forget(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// WaitReady waits until the guest answers commands. It is an EndedError when
// the boot ends before that.
func (b *Boot) WaitReady(ctx context.Context) error {
	select {
	case <-b.channel.ready:
		return nil
	case <-b.ended:
		return &EndedError{Waiting: "waiting for the guest", Reason: b.reason}
	case <-ctx.Done():
		return fmt.Errorf("waiting for the guest of boot %d: %w", b.Number, context.Cause(ctx))
	}
}

// Run waits until the guest is ready, executes command there by "sh -c" as
// root, and returns what it did. A command that fails is not an error: see
// ExitCode. Commands may run side by side. The end of ctx ends the waiting, not
// the command. It is an EndedError when the boot ends first, as it does for a
// command that reboots.
func (b *Boot) Run(ctx context.Context, command string) (Result, error) {
	if err := b.WaitReady(ctx); err != nil {
		return Result{}, err
	}
	waiting := fmt.Sprintf("running %.80q", command)
	id, answer, err := b.channel.send(ctx, command)
	if err != nil {
		// The socket is of a QEMU that is going, or ctx has ended.
		select {
		case <-b.ended:
			return Result{}, &EndedError{Waiting: waiting, Reason: b.reason}
		case <-ctx.Done():
			return Result{}, fmt.Errorf("%s: %w", waiting, context.Cause(ctx))
		}
	}
	select {
	case r, ok := <-answer:
		if !ok {
			return Result{}, fmt.Errorf("%s: %w", waiting, errRestarted)
		}
		if r.Error != "" {
			return Result{}, fmt.Errorf("%s: %s", waiting, r.Error)
		}
		return Result{ExitCode: r.ExitCode, Stdout: string(r.Stdout), Stderr: string(r.Stderr)}, nil
	case <-b.ended:
		return Result{}, &EndedError{Waiting: waiting, Reason: b.reason}
	case <-ctx.Done():
		b.channel.forget(id)
		return Result{}, fmt.Errorf("%s: %w", waiting, context.Cause(ctx))
	}
}
