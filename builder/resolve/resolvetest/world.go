// Package resolvetest is the world that recipes name, in this process: an image
// registry, a Debian archive and an RPM repository behind one web server, made
// and signed by the tools that make real ones.
package resolvetest

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proa-os/proa/builder/oci/ocitest"
	"github.com/proa-os/proa/builder/openpgp/pgptest"
)

// World is one server and what it serves.
type World struct {
	URL      string // of the server; /debian and /rpm are below it
	Registry string // host and port, for image references
	Dir      string // the folders debian and rpm are served from it
	Key      string // path of the public key that packages and repositories are signed by
	Stranger string // path of another public key

	home     string // of gpg
	server   *httptest.Server
	requests atomic.Int64
	manners  atomic.Pointer[Manners]
}

// Manners answers a request in its own way, or leaves it to the server.
type Manners func(w http.ResponseWriter, r *http.Request, server http.Handler)

// Open starts a server for the time of the test. The archives are empty.
func Open(t testing.TB) *World {
	t.Helper()
	w := &World{Dir: t.TempDir(), home: pgptest.Home(t)}
	w.Key, w.Stranger = w.newKey(t, "world"), w.newKey(t, "stranger")
	w.serve(t)
	return w
}

func (w *World) serve(t testing.TB) {
	inner := http.NewServeMux()
	inner.Handle("/v2/", ocitest.Handler())
	inner.Handle("/", http.FileServer(http.Dir(w.Dir)))
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.requests.Add(1)
		if manners := w.manners.Load(); manners != nil {
			(*manners)(out, r, inner)
			return
		}
		inner.ServeHTTP(out, r)
	}))
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.server.Start()
	t.Cleanup(w.Close)
	w.URL = w.server.URL
	w.Registry = strings.TrimPrefix(w.URL, "http://")
}

// Close ends the server; there is nobody at its address then.
func (w *World) Close() {
	w.server.CloseClientConnections()
	w.server.Close()
}

// Requests is how many requests there have been since the last call.
func (w *World) Requests() int64 { return w.requests.Swap(0) }

// Misbehave has requests answered in another way; nil ends it.
func (w *World) Misbehave(how Manners) {
	if how == nil {
		w.manners.Store(nil)
		return
	}
	w.manners.Store(&how)
}

func (w *World) newKey(t testing.TB, name string) string {
	t.Helper()
	w.gpg(t, "", "--quick-generate-key", name+"@example.org", "ed25519", "sign", "never")
	path := filepath.Join(w.home, name+".asc")
	if err := os.WriteFile(path, w.gpg(t, "", "--armor", "--export", name+"@example.org"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func (w *World) gpg(t testing.TB, stdin string, args ...string) []byte {
	t.Helper()
	return pgptest.Run(t, w.home, stdin, args...)
}

func tool(t testing.TB, dir, stdin, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, strings.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}
