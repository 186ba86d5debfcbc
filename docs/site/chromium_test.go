//go:build browser

package site

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// chromium is Debian's browser without a window. It is spoken to in the DevTools
// protocol over two pipes, each message JSON and a zero byte
// (https://chromedevtools.github.io/devtools-protocol).
type chromium struct {
	t       *testing.T
	in      io.Writer
	out     chan message
	last    int
	session string // of the one page
}

type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

// patience is how long the browser may think about one thing.
const patience = 3 * time.Minute

func startChromium(t *testing.T) *chromium {
	t.Helper()
	read, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Its own sandbox needs what containers do not allow; the pages are ours.
	cmd := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{read, write} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read.Close()
	write.Close()
	c := &chromium{t: t, in: in, out: make(chan message, 100)}
	go c.listen(out)
	t.Cleanup(func() {
		in.Close() // the browser ends with the one who speaks to it
		cmd.Wait()
		out.Close()
	})

	var target struct{ TargetID string }
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	c.call("Page.enable", nil, nil)
	return c
}

func (c *chromium) listen(out io.Reader) {
	defer close(c.out)
	reader := bufio.NewReader(out)
	for {
		line, err := reader.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal(line[:len(line)-1], &m); err == nil {
			c.out <- m
		}
	}
}

// call has the browser do something, and decodes what it answers into result.
func (c *chromium) call(method string, params, result any) {
	c.t.Helper()
	c.last++
	request, err := json.Marshal(message{ID: c.last, Method: method, Params: params, SessionID: c.session})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(request, 0)); err != nil {
		c.t.Fatalf("chromium: %s: %v", method, err)
	}
	answer := c.await(method, func(m message) bool { return m.ID == c.last })
	if answer.Error != nil {
		c.t.Fatalf("chromium: %s: %s", method, answer.Error)
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result, result); err != nil {
			c.t.Fatalf("chromium: %s: %v", method, err)
		}
	}
}

func (c *chromium) await(what string, is func(message) bool) message {
	c.t.Helper()
	for {
		select {
		case m, open := <-c.out:
			if !open {
				c.t.Fatalf("chromium ended before it answered to %s", what)
			}
			if is(m) {
				return m
			}
		case <-time.After(patience):
			c.t.Fatalf("chromium said nothing to %s for %s", what, patience)
		}
	}
}

// open shows a page and waits until all of it is there.
func (c *chromium) open(url string) {
	c.t.Helper()
	var went struct{ ErrorText string }
	c.call("Page.navigate", map[string]any{"url": url}, &went)
	if went.ErrorText != "" {
		c.t.Fatalf("%s: %s", url, went.ErrorText)
	}
	c.await("load "+url, func(m message) bool { return m.Method == "Page.loadEventFired" })
}

// evaluate runs JavaScript in the page and decodes its value into result.
func (c *chromium) evaluate(expression string, result any) error {
	c.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	c.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		return fmt.Errorf("%s", answer.ExceptionDetails)
	}
	return json.Unmarshal(answer.Result.Value, result)
}
