package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// reader is the part of a host that reads metadata, and counts what it fetches of it.
type reader struct {
	client  *signing.Client
	files   http.RoundTripper
	fetched int64
}

func newReader(repo, folder string) (*reader, error) {
	root, err := os.ReadFile(filepath.Join(repo, "metadata", "root.json"))
	if err != nil {
		return nil, err
	}
	r := &reader{files: http.NewFileTransportFS(os.DirFS(repo))}
	r.client, err = signing.OpenClient(signing.Config{URL: "http://repository.invalid", Dir: folder, Root: root, HTTP: &http.Client{Transport: r}})
	return r, err
}

// RoundTrip implements http.RoundTripper.
func (r *reader) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := r.files.RoundTrip(request)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.HasPrefix(request.URL.Path, "/metadata/") {
		return answer, err
	}
	content, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	r.fetched += int64(len(content))
	answer.Body = io.NopCloser(bytes.NewReader(content))
	return answer, err
}

// reads has the host look for an update to a release of a product, as one does that runs
// another version, and gives the bytes of metadata that it fetched.
func (r *reader) reads(ctx context.Context, product string, version, running manifests.Version) (int64, error) {
	r.fetched = 0
	if err := r.client.Refresh(ctx); err != nil {
		return 0, err
	}
	for _, name := range []string{
		manifests.ChannelTarget(product, manifests.AMD64, "stable"),
		manifests.NoticeTarget(product, manifests.AMD64, version),
		manifests.NoticeTarget("edge-gateway", manifests.AMD64, running),
		manifests.ReleaseTarget(product, manifests.AMD64, version),
		manifests.TransportTarget(product, manifests.AMD64, version),
	} {
		if _, err := r.client.Fetch(ctx, name); err != nil && !errors.Is(err, signing.ErrNotFound) {
			return 0, err
		}
	}
	return r.fetched, nil
}
