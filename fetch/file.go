package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/proa-os/proa/manifests"
)

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
				return fmt.Errorf("fetching %s: %w", c.name(path), ErrContent)
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
	t := transfer{url: c.url(path), target: target, size: want.Size, check: sha256.New(), sum: want.Digest[:], anew: true}
	return t.run(ctx, c.config, exactly{c.http, want.Size})
}

// exactly is an HTTP client whose answers have exactly size bytes.
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
