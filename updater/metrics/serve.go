package metrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/proa-os/proa/durable"
)

const (
	rewriteEvery = time.Minute // a file, when no event tells of a change
	settleFor    = time.Second // events that come together make one file

	scrapersMost = 4
	requestMost  = 8 << 10 // bytes
	patience     = 5 * time.Second
	mediaType    = "text/plain; version=0.0.4; charset=utf-8"
)

// Serve publishes until ctx ends, and returns nil then. Beforehand it returns
// when the socket cannot be made, or the file's folder is missing.
func Serve(ctx context.Context, config Config) error {
	if path, isSocket := strings.CutPrefix(config.Target, "unix:"); isSocket {
		return config.serveSocket(ctx, path)
	}
	return config.serveFile(ctx)
}

// text is all metrics as of now. A host whose status cannot be read has still
// its counters.
func (c Config) text(ctx context.Context) []byte {
	status, err := c.Status(ctx)
	all := []family{single("proa_agent_status_readable", gauge, "1 if the status could be read.", truth(err == nil))}
	if err == nil {
		all = append(all, gauges(status, c.Version)...)
	}
	return format(append(all, c.Counters.families()...))
}

func (c Config) serveFile(ctx context.Context) error {
	for {
		if err := durable.WriteFile(c.Target, c.text(ctx), 0o644); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rewriteEvery):
			continue
		case <-c.Counters.changed:
		}
		select {
		case <-ctx.Done():
		case <-time.After(settleFor):
		}
	}
}

func (c Config) serveSocket(ctx context.Context, path string) error {
	listener, err := listen(path)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var scrapers sync.WaitGroup
	defer scrapers.Wait()
	places := make(chan struct{}, scrapersMost)
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		places <- struct{}{}
		scrapers.Go(func() {
			defer func() { <-places }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			c.answer(ctx, conn)
		})
	}
}

// listen replaces the socket of an agent that was killed, not one that is in
// use.
func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if conn, err := net.DialTimeout("unix", path, patience); err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s is in use", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil { // there is nothing in it that status does not say
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// answer serves one request; net/http's server would be a twentieth of the
// program.
func (c Config) answer(ctx context.Context, conn net.Conn) {
	conn.SetDeadline(time.Now().Add(patience))
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, requestMost)))
	status, body := "200 OK", []byte(nil)
	switch {
	case err != nil:
		status = "400 Bad Request"
	case request.Method != http.MethodGet && request.Method != http.MethodHead:
		status = "405 Method Not Allowed\r\nAllow: GET, HEAD"
	case request.URL.Path != "/metrics":
		status = "404 Not Found"
	default:
		body = c.text(ctx)
	}
	fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, mediaType, len(body))
	if err == nil && request.Method == http.MethodGet {
		conn.Write(body)
	}
}
