package testhost

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// Repository is a signed repository that is served over loopback.
type Repository struct {
	Dir  string
	URL  string
	Keys string // the folder of its key files
	// Intercept, if not nil, answers a request in place of the files when it
	// returns true. Set it while no request is under way.
	Intercept func(http.ResponseWriter, *http.Request) bool

	keys signing.Keys
	meta *signing.Metadata

	mu     sync.Mutex
	served map[string]int64
	busy   int        // requests under way
	rests  *sync.Cond // when there are none any more
}

// NewRepository makes an empty one and serves it until the test ends.
func NewRepository(t testing.TB) *Repository {
	t.Helper()
	r := &Repository{Dir: t.TempDir(), served: map[string]int64{}}
	r.rests = sync.NewCond(&r.mu)
	r.Keys = t.TempDir()
	for _, role := range signing.Roles() {
		_, err := signing.CreateKeyFile(filepath.Join(r.Keys, signing.KeyFileName(role, 1)))
		check(t, err)
	}
	var err error
	r.keys, err = signing.LoadKeys(r.Keys)
	check(t, err)
	r.meta, err = signing.NewMetadata(r.keys, 1)
	check(t, err)
	r.sign(t)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// sign writes what changed.
func (r *Repository) sign(t testing.TB) {
	files, err := r.meta.Sign(time.Now(), signing.DefaultLifetimes(), r.keys)
	check(t, err)
	for _, file := range files {
		r.Write(t, "metadata/"+file.Name, file.Content)
	}
}

// Write puts a file into the repository without signing anything.
func (r *Repository) Write(t testing.TB, name string, content []byte) {
	t.Helper()
	path := filepath.Join(r.Dir, filepath.FromSlash(name))
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, content, 0o644))
}

// SetTarget publishes a target with any content.
func (r *Repository) SetTarget(t testing.TB, name string, content []byte) {
	t.Helper()
	check(t, r.meta.SetTarget(name, content))
	digest := manifests.DigestOf(content)
	r.Write(t, signing.TargetPath(name, digest[:]), content)
	r.sign(t)
}

// UseBins publishes so many targets of another product that they go into bins.
func (r *Repository) UseBins(t testing.TB) {
	t.Helper()
	for n := range 100 {
		name := manifests.ReleaseTarget("other", manifests.AMD64, manifests.Version(fmt.Sprintf("1.%d", n)))
		check(t, r.meta.SetTarget(name, []byte(name)))
	}
	r.sign(t)
}

// Publish publishes the release as it is and moves channel stable to it.
func (r *Repository) Publish(t testing.TB, release *Release) {
	t.Helper()
	text := release.Text(t)
	transport := release.Transport
	if transport.Release.IsZero() {
		transport.Release = manifests.DigestOf(text)
	}
	r.Write(t, manifests.ArtifactPath(transport.Root.Digest), release.Frames)
	r.Write(t, manifests.ArtifactPath(transport.Index.Digest), release.Index())
	r.Write(t, manifests.ArtifactPath(transport.UKI.Digest), release.UKI)
	r.Write(t, manifests.ArtifactPath(manifests.DigestOf(release.StateText(t))), release.StateText(t))
	for _, content := range release.More {
		r.Write(t, manifests.ArtifactPath(manifests.DigestOf(content)), content)
	}
	v := release.Release.Version
	r.SetTarget(t, manifests.ReleaseTarget(Product, manifests.AMD64, v), text)
	r.SetTarget(t, manifests.TransportTarget(Product, manifests.AMD64, v), marshal(t, transport))
	r.SetTarget(t, manifests.ChannelTarget(Product, manifests.AMD64, "stable"), marshal(t, manifests.Channel{
		Schema: 1, Product: Product, Arch: manifests.AMD64, Name: "stable", Version: v, Release: manifests.DigestOf(text),
	}))
}

func marshal(t testing.TB, v any) []byte {
	text, err := json.Marshal(v)
	check(t, err)
	return text
}

// Root is the newest trust root.
func (r *Repository) Root(t testing.TB) []byte {
	root, err := os.ReadFile(filepath.Join(r.Dir, "metadata", "1.root.json"))
	check(t, err)
	return root
}

// ServeHTTP implements http.Handler.
func (r *Repository) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.URL.Path == settled {
		return
	}
	r.mu.Lock()
	r.busy++
	r.mu.Unlock()
	counted := &counter{ResponseWriter: w}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.served[strings.TrimPrefix(request.URL.Path, "/")] += counted.n
		if r.busy--; r.busy == 0 {
			r.rests.Broadcast()
		}
	}()
	if r.Intercept == nil || !r.Intercept(counted, request) {
		http.FileServer(http.Dir(r.Dir)).ServeHTTP(counted, request)
	}
}

// settled is a path that is answered at once.
const settled = "/settled"

// Served is the bytes sent of one file since the last call for it. It waits for the
// end of requests: who has all bytes, or has gone away, may be ahead of those who
// count them. One that was sent and whose connection waits still has begun when a
// later one over a connection of its own is answered.
func (r *Repository) Served(name string) int64 {
	late := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if response, err := late.Get(r.URL + settled); err == nil {
		response.Body.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.busy > 0 {
		r.rests.Wait()
	}
	n := r.served[name]
	delete(r.served, name)
	return n
}

type counter struct {
	http.ResponseWriter
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err
}

// Unwrap lets a handler reach the connection.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
