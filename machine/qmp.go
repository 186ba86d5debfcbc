package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// monitor talks the QEMU Machine Protocol.
// https://www.qemu.org/docs/master/interop/qmp-spec.html
type monitor struct {
	conn   io.ReadWriteCloser
	reason chan Reason // gets the last SHUTDOWN event's, or "", when QEMU closes it
	// picture is the file for what the display shows at the end; "" where QEMU does not
	// wait for it.
	picture string

	mu      sync.Mutex
	next    int
	pending map[int]chan error
}

// watchQMP reads until QEMU closes the connection.
func watchQMP(conn io.ReadWriteCloser, picture string) *monitor {
	m := &monitor{conn: conn, reason: make(chan Reason, 1), picture: picture, pending: map[int]chan error{}}
	// Events are sent, and commands taken, only after this.
	_, err := io.WriteString(conn, `{"execute":"qmp_capabilities"}`+"\n")
	go func() {
		defer conn.Close()
		if err != nil {
			m.reason <- ""
			return
		}
		m.reason <- m.read(conn)
	}()
	return m
}

// read hands each answer to whoever waits for it.
func (m *monitor) read(r io.Reader) Reason {
	var reason Reason
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var message struct {
			ID    int    `json:"id"`
			Event string `json:"event"`
			Data  struct {
				Reason string `json:"reason"`
			} `json:"data"`
			Error *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if json.Unmarshal(lines.Bytes(), &message) != nil {
			continue
		}
		switch {
		case message.Event == "SHUTDOWN" && message.Data.Reason == quitReason: // of takeLeave
		case message.Event == "SHUTDOWN":
			reason = Reason(message.Data.Reason)
			if m.picture != "" {
				m.takeLeave()
			}
		case message.Event == "" && message.Error != nil:
			m.answer(message.ID, errors.New(message.Error.Desc))
		case message.Event == "":
			m.answer(message.ID, nil)
		}
	}
	return reason
}

// quitReason is of a SHUTDOWN event that our command quit brings about.
const quitReason = "host-qmp-quit"

// takeLeave pictures the display of a guest that has ended, and ends QEMU. Commands are
// carried out in turn. Nobody waits for the answers: a picture that could not be taken is
// not there, and a QEMU that does not hear us has ended.
func (m *monitor) takeLeave() {
	_, _, _ = m.execute("screendump", map[string]string{"filename": m.picture, "format": "png"})
	_, _, _ = m.execute("quit", struct{}{})
}

func (m *monitor) answer(id int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if waiting, ok := m.pending[id]; ok {
		waiting <- err
		delete(m.pending, id)
	}
}

// execute sends a command; what it returns comes on the channel.
func (m *monitor) execute(command string, arguments any) (int, <-chan error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	line, err := json.Marshal(map[string]any{"execute": command, "arguments": arguments, "id": m.next})
	if err != nil {
		return 0, nil, err
	}
	waiting := make(chan error, 1)
	m.pending[m.next] = waiting
	if _, err := m.conn.Write(append(line, '\n')); err != nil {
		delete(m.pending, m.next)
		return 0, nil, err
	}
	return m.next, waiting, nil
}

func (m *monitor) forget(id int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pending, id)
}

// Screenshot writes what the display shows to a file, as PNG. The machine needs
// Config.Screen. It is an EndedError when the boot has ended.
func (b *Boot) Screenshot(ctx context.Context, path string) error {
	const waiting = "taking a picture of the display"
	if b.Ended() {
		return &EndedError{Waiting: waiting, Reason: b.reason}
	}
	id, answer, err := b.monitor.execute("screendump", map[string]string{"filename": path, "format": "png"})
	if err != nil {
		return fmt.Errorf("%s: %w", waiting, err)
	}
	select {
	case err := <-answer:
		if err != nil {
			return fmt.Errorf("%s: %w", waiting, err)
		}
		return nil
	case <-b.ended:
		return &EndedError{Waiting: waiting, Reason: b.reason}
	case <-ctx.Done():
		b.monitor.forget(id)
		return fmt.Errorf("%s: %w", waiting, context.Cause(ctx))
	}
}
