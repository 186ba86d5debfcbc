package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/cavaliergopher/grab/v3"

	"github.com/proa-os/proa/manifests"
)

// ErrContent is wrapped by the error of a file whose content is not the one
// that was asked for, though it came in full.
var ErrContent = errors.New("content differs from its digest")

// File downloads a whole file to target, replacing what is there. It returns
// nil only when the file has the size and digest of want; otherwise there is
// no file. Nothing of an earlier attempt is built upon.
func (c *Client) File(ctx context.Context, path string, want manifests.FetchFile, target string) error {
	if want.Size <= 0 {
		return fmt.Errorf("fetching %s: size %d: want more than 0", path, want.Size)
	}
	for attempts := c.config.Patience.Retry(); ; {
		err := c.file(ctx, path, want, target)
		if err == nil {
			return nil
		}
		os.Remove(target)
		if err := attempts.Again(ctx, err); err != nil {
			if errors.Is(err, ErrContent) && ctx.Err() == nil {
				return fmt.Errorf("fetching %s: %w", c.url(path), ErrContent)
			}
			return c.failure(ctx, path, err)
		}
	}
}

func (c *Client) file(ctx context.Context, path string, want manifests.FetchFile, target string) error {
	// grab takes a file that is there already for a finished or partial download.
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return permanent(err)
	}
	plain, err := c.request(ctx, path)
	if err != nil {
		return err
	}
	request, err := grab.NewRequest(target, plain.URL.String())
	if err != nil {
		return permanent(err)
	}
	request = request.WithContext(ctx)
	request.HTTPRequest.Header = plain.Header
	request.NoResume = true
	request.NoCreateDirectories = true
	request.IgnoreRemoteTime = true
	request.Size = want.Size
	request.SetChecksum(sha256.New(), want.Digest[:], true)

	client := grab.NewClient()
	client.HTTPClient = exactly{c.http, want.Size}
	client.UserAgent = c.config.UserAgent
	client.BufferSize = 128 << 10
	err = client.Do(request).Err()
	switch {
	case errors.Is(err, grab.ErrBadChecksum):
		return fmt.Errorf("%w", ErrContent)
	case errors.Is(err, grab.ErrBadLength):
		return permanent(fmt.Errorf("server sends another length: want %d bytes", want.Size))
	}
	return err
}

// exactly is an HTTP client whose answers have exactly size bytes: grab itself
// copies for as long as a server without Content-Length sends.
type exactly struct {
	client *http.Client
	size   int64
}

// Do implements grab.HTTPClient.
func (e exactly) Do(request *http.Request) (*http.Response, error) {
	response, err := e.client.Do(request)
	if err != nil {
		return nil, err
	}
	if err := checkStatus(response, http.StatusOK); err != nil {
		response.Body.Close()
		return nil, err
	}
	response.Body = &exactBody{response.Body, e.size}
	return response, nil
}

type exactBody struct {
	io.ReadCloser
	left int64
}

func (b *exactBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		return 0, permanent(errors.New("server sends more than was announced"))
	case err == io.EOF && b.left > 0:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
