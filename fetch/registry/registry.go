// Package registry reads a repository that is kept in an OCI registry, as 'proa
// repo push' puts it there: one artifact, named by a tag, each file of which is a
// blob (docs/reference/repository.md).
//
// A Transport answers requests for the files of the repository as a web server
// would, ranges included, and asks the registry for the blobs. It adds no trust:
// whoever uses the bytes checks them.
package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/proa-os/proa/fetch"
)

// Config is what a Transport needs.
type Config struct {
	Reference Reference         // required
	Pool      http.RoundTripper // connections; required
	UserAgent string            // names the program; optional
	Patience  fetch.Patience    // optional
	// Credentials is a file like docker's config.json, read when the registry
	// asks who is there; it may be missing, and others must not be able to read it.
	// Optional.
	Credentials string
}

// Transport is the repository's server, as far as its user can see. It is safe
// for concurrent use.
type Transport struct {
	config Config
	client *http.Client

	mu       sync.Mutex
	files    map[string]Descriptor // of the newest manifest; nil before the first
	digest   string                // of that manifest
	resolved time.Time             // when the tag was looked up for a refresh that goes on
}

// New asks nothing yet.
func New(config Config) *Transport {
	in := &login{next: fetch.Paced(config.Pool, config.Patience), ref: config.Reference, file: config.Credentials}
	return &Transport{config: config, client: &http.Client{Transport: in, CheckRedirect: CheckRedirect}}
}

// CheckRedirect is for http.Client: it allows what registries do, which is to
// send on to where their blobs are, but not into a network that only this machine
// can reach.
func CheckRedirect(request *http.Request, via []*http.Request) error {
	if err := fetch.CheckRedirect(request, via); err != nil {
		return err
	}
	return mayLead(via[0].URL, request.URL)
}

func mayLead(from, to *url.URL) error {
	if isPrivate(to.Hostname()) && !isPrivate(from.Hostname()) {
		return fmt.Errorf("%s leads into a private network, to %s", from.Host, to.Host)
	}
	return nil
}

// isPrivate reports whether a host is one that only those inside can reach, as
// far as its name says so.
func isPrivate(host string) bool {
	host, _, _ = strings.Cut(host, "%") // the zone of an IPv6 address
	ip := net.ParseIP(host)
	return OnThisMachine(host) || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()
}

// RoundTrip implements http.RoundTripper for GET and HEAD of files of the
// repository, under the URL of the reference.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		request.Body.Close()
	}
	name, ok := strings.CutPrefix(request.URL.Path, strings.TrimSuffix(t.config.Reference.path, "/")+"/")
	if !ok || request.Method != http.MethodGet && request.Method != http.MethodHead {
		return nil, fmt.Errorf("%s %s: want a file of %s", request.Method, request.URL, t.config.Reference)
	}
	file, found, err := t.find(request.Context(), name)
	if err != nil {
		return nil, err
	}
	if !found {
		return &http.Response{
			Status: "404 Not Found", StatusCode: http.StatusNotFound, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, Body: http.NoBody, Request: request,
		}, nil
	}
	response, err := t.ask(request.Context(), request.Method, "blobs", file.Digest.String(), request.Header)
	if err != nil {
		return nil, err
	}
	response.Request = request
	return response, nil
}

// refreshLasts is how long a look at the tag is good for the same refresh.
const refreshLasts = time.Minute

// find is the blob of a file. A refresh asks for the root behind the newest it
// knows, and then for the timestamp: at the first of them the tag is looked up
// anew, so that all of a refresh comes out of one manifest.
func (t *Transport) find(ctx context.Context, name string) (Descriptor, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	file, found := t.files[name]
	isTimestamp := name == "metadata/timestamp.json"
	begins := isTimestamp || !found && strings.HasPrefix(name, "metadata/") && strings.HasSuffix(name, ".root.json")
	if t.files == nil || begins && time.Since(t.resolved) > refreshLasts {
		if err := t.resolve(ctx); err != nil {
			return Descriptor{}, false, err
		}
		t.resolved = time.Now()
		file, found = t.files[name]
	}
	if isTimestamp {
		t.resolved = time.Time{} // that was the last of the refresh that begins one
	}
	return file, found, nil
}

// resolve reads the manifest that the tag names, unless it is the one that is
// known.
func (t *Transport) resolve(ctx context.Context) error {
	ref := t.config.Reference
	accept := http.Header{"Accept": {ManifestType}}
	if t.files != nil {
		response, err := t.ask(ctx, http.MethodHead, "manifests", ref.Tag, accept)
		if err == nil {
			response.Body.Close()
			if response.Header.Get("Docker-Content-Digest") == t.digest {
				return nil
			}
		}
	}
	response, err := t.ask(ctx, http.MethodGet, "manifests", ref.Tag, accept)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, ManifestMost+1))
	if err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	_, files, err := ParseManifest(text)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	t.files, t.digest = files, fmt.Sprintf("sha256:%x", sha256.Sum256(text))
	return nil
}

// ask asks the registry. The answer is one that has what was asked for.
func (t *Transport) ask(ctx context.Context, method, kind, item string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, t.config.Reference.url(kind, item).String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header = header.Clone()
	request.Header.Set("Accept-Encoding", "identity")
	if t.config.UserAgent != "" {
		request.Header.Set("User-Agent", t.config.UserAgent)
	}
	response, err := t.client.Do(request)
	if err != nil {
		// The URL may be one with a key in it, where a redirect led.
		var at *url.Error
		if errors.As(err, &at) {
			err = fmt.Errorf("asking %s: %w", t.config.Reference.Host, at.Err)
		}
		return nil, err
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		return response, nil
	}
	defer response.Body.Close()
	return nil, fmt.Errorf("%s/%s of %s: %w", kind, item, t.config.Reference, refusal(response))
}
