package oci

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/progress"
)

// ErrUnauthorized is wrapped by the error of a registry that does not let the
// user in: there are no credentials for it, or the wrong ones, or they do not
// reach that far. Many registries answer so, too, when an image is not there.
var ErrUnauthorized = errors.New("the registry refuses access")

// Remote is how registries are talked to. The zero value is right for most.
type Remote struct {
	Offline   bool              // registries are not to be asked: what is not in the cache is cache.ErrOffline
	UserAgent string            // names the program; optional
	Patience  fetch.Patience    // optional; by default 5 attempts, and pauses of up to a minute where a registry asks for them
	Progress  progress.Reporter // optional
}

// repository is one repository of a registry (OCI Distribution Specification
// 1.1). Nothing is asked before it is needed.
//
// go-containerregistry finds credentials and adds them to requests. Manifests
// and blobs are asked for here, since its own way of doing it allows 100 MiB of
// manifest, cannot go on where a connection broke, and does not wait as long as
// a registry asks for.
type repository struct {
	name  name.Repository
	guard *guard
	Remote

	mu     sync.Mutex
	client *http.Client // nil until the first request
}

func newRepository(n name.Repository, r Remote) *repository {
	r.Patience.Attempts = cmp.Or(r.Patience.Attempts, 5)
	r.Patience.Longest = cmp.Or(r.Patience.Longest, time.Minute)
	if r.Progress == nil {
		r.Progress = progress.Silent()
	}
	return &repository{name: n, guard: newTransport(r.Patience, r.UserAgent), Remote: r}
}

func (r *repository) close() { r.guard.pool.CloseIdleConnections() }

// open greets the registry and finds out how the user gets in.
func (r *repository) open(ctx context.Context) (*http.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return r.client, nil
	}
	if r.Offline {
		return nil, cache.ErrOffline
	}
	auth, err := r.credentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", r.name.RegistryStr(), err)
	}
	r.guard.greeting.Store(true)
	defer r.guard.greeting.Store(false)
	in, err := transport.NewWithContext(ctx, r.name.Registry, auth, r.guard, []string{r.name.Scope(transport.PullScope)})
	if err != nil {
		return nil, explain(ctx, err)
	}
	r.client = &http.Client{Transport: in, CheckRedirect: registry.CheckRedirect}
	return r.client, nil
}

// credentials are the user's, as docker and podman keep them. A helper program
// may ask somebody, so it is not waited for when ctx ends.
func (r *repository) credentials(ctx context.Context) (authn.Authenticator, error) {
	type result struct {
		auth authn.Authenticator
		err  error
	}
	done := make(chan result, 1)
	go func() {
		auth, err := authn.Resolve(ctx, authn.DefaultKeychain, r.name)
		done <- result{auth, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case got := <-done:
		return got.auth, got.err
	}
}

// get asks for /v2/NAME/kind/item. The status of the response is 200 or 206.
func (r *repository) get(ctx context.Context, kind, item string, header http.Header) (*http.Response, error) {
	client, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: r.name.Scheme(), Host: r.name.RegistryStr(), Path: "/v2/" + r.name.RepositoryStr() + "/" + kind + "/" + item}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		// The URL may be one with a key in it, where a redirect led.
		var at *url.Error
		if errors.As(err, &at) {
			err = fmt.Errorf("asking %s: %w", r.name.RegistryStr(), at.Err)
		}
		return nil, explain(ctx, err)
	}
	partial := response.StatusCode == http.StatusPartialContent && header.Get("Range") != ""
	if response.StatusCode == http.StatusOK || partial {
		return response, nil
	}
	defer response.Body.Close()
	var answer struct{ Errors []transport.Diagnostic }
	text, _ := io.ReadAll(io.LimitReader(response.Body, 8<<10))
	_ = json.Unmarshal(text, &answer) // where it is not JSON, the status says it
	return nil, refusal(kind+"/"+item, response.StatusCode, answer.Errors)
}

// refusal is the error that an answer stands for.
func refusal(what string, status int, said []transport.Diagnostic) error {
	text := fmt.Sprintf("the registry answers %d %s", status, http.StatusText(status))
	if len(said) > 0 {
		text += fmt.Sprintf(" (%.40q: %.200q)", string(said[0].Code), said[0].Message)
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%s: %w: %s", what, ErrUnauthorized, text)
	case http.StatusNotFound:
		return fmt.Errorf("%s: %w: %s", what, fs.ErrNotExist, text)
	}
	return fmt.Errorf("%s: %s", what, text)
}

// explain is err in the package's terms and without what a registry could put
// in it to confuse a terminal.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refused *transport.Error
	if errors.As(err, &refused) {
		what := "greeting the registry"
		if refused.Request != nil {
			what = refused.Request.Method + " " + refused.Request.URL.Host
		}
		return refusal(what, refused.StatusCode, refused.Errors)
	}
	return err
}

// blob implements source. What it reads is not checked yet.
func (r *repository) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if d.MediaType.IsImage() || d.MediaType.IsIndex() {
		m, err := r.manifest(ctx, d.Digest.String())
		if err != nil {
			return nil, err
		}
		return memory(m.data), nil
	}
	return r.stream(ctx, d, 0)
}

func memory(data []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(data)) }
