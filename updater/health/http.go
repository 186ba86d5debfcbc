package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/proa-os/proa/manifests"
)

// ask makes one request and holds the status against those that count as healthy.
// It goes straight to the host or socket, through no proxy; a redirect is an answer like
// any other, and of the body no more than the beginning is read.
func ask(ctx context.Context, check manifests.HealthCheck) error {
	const bodyMost, headMost = 64 << 10, 64 << 10
	transport := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: headMost}
	if check.Socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", check.Socket)
		}
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, check.HTTP, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "proa-agent")
	began := time.Now()
	answer, err := client.Do(request)
	if err == nil {
		defer answer.Body.Close()
		_, err = io.CopyN(io.Discard, answer.Body, bodyMost)
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	var inner *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s", time.Since(began).Round(time.Second))
	case errors.As(err, &inner):
		return inner.Err
	case err != nil:
		return err
	}
	healthy := answer.StatusCode >= 200 && answer.StatusCode <= 299
	if len(check.Status) > 0 {
		healthy = slices.Contains(check.Status, answer.StatusCode)
	}
	if !healthy {
		return fmt.Errorf("%d", answer.StatusCode)
	}
	return nil
}
