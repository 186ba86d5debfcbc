package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/proa-os/proa/manifests"
)

// served is a folder that is served over HTTP, and how many bytes of each file
// were: the bodies of answers, without their headers.
type served struct {
	listener net.Listener
	server   *http.Server
	answers  sync.WaitGroup

	mu    sync.Mutex
	bytes map[string]int64 // by path in the folder
}

func serve(folder string) (*served, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &served{listener: listener, bytes: map[string]int64{}}
	files := http.FileServer(http.Dir(folder))
	s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.answers.Add(1)
		defer s.answers.Done()
		files.ServeHTTP(&counted{w, s, strings.TrimPrefix(r.URL.Path, "/")}, r)
	})}
	go s.server.Serve(listener)
	return s, nil
}

// URL is that of the folder.
func (s *served) URL() string { return "http://" + s.listener.Addr().String() }

func (s *served) Close() error { return s.server.Close() }

// Forget begins to count anew.
func (s *served) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.bytes)
}

// Of says what was served for a release: for its kernel image, for its root image,
// and all other files, which are metadata. Whoever asked has to be done.
func (s *served) Of(t manifests.Transport) (kernel, root, metadata int64) {
	roots := map[string]bool{
		manifests.ArtifactPath(t.Root.Digest):  true,
		manifests.ArtifactPath(t.Index.Digest): true,
	}
	for _, d := range t.Deltas {
		roots[manifests.ArtifactPath(d.Digest)] = true
	}
	// A client may have all of an answer before it is counted.
	s.answers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, bytes := range s.bytes {
		switch {
		case path == manifests.ArtifactPath(t.UKI.Digest):
			kernel += bytes
		case roots[path]:
			root += bytes
		default:
			metadata += bytes
		}
	}
	return kernel, root, metadata
}

// counted is an answer whose body is counted.
type counted struct {
	http.ResponseWriter
	served *served
	path   string
}

func (c *counted) add(n int64) {
	c.served.mu.Lock()
	defer c.served.mu.Unlock()
	c.served.bytes[c.path] += n
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.add(int64(n))
	return n, err
}

// ReadFrom leaves files to the kernel, as a web server does.
func (c *counted) ReadFrom(r io.Reader) (int64, error) {
	to, ok := c.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return 0, errors.New("an answer of net/http that reads from no file")
	}
	n, err := to.ReadFrom(r)
	c.add(n)
	return n, err
}
