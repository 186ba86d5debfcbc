package oci

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/proa-os/proa/fetch"
)

// patient asks again where the answer may be another the next time.
type patient struct {
	next     http.RoundTripper
	patience fetch.Patience
}

// RoundTrip implements http.RoundTripper.
func (p *patient) RoundTrip(request *http.Request) (*http.Response, error) {
	for attempts := p.patience.Retry(); ; {
		response, err := p.next.RoundTrip(request)
		fault := err
		if err == nil {
			fault = fetch.Refusal(response)
		}
		answered := err == nil && response.StatusCode < 400 || err != nil && !isTransient(err)
		if answered || request.Body != nil && request.GetBody == nil {
			return response, err
		}
		pause, again := attempts.Next(fault)
		if !again {
			return response, err
		}
		if response != nil {
			response.Body.Close()
		}
		if err := fetch.Sleep(request.Context(), pause); err != nil {
			return nil, err
		}
		if request.GetBody != nil {
			if request.Body, err = request.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// isTransient reports whether the network failed in a way that may pass.
func isTransient(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	for _, known := range []error{fetch.ErrTooSlow, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, known) {
			return true
		}
	}
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
