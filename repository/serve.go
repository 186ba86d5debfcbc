package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ServeConfig is what Serve needs.
type ServeConfig struct {
	Dir    string           // a repository; required
	Listen string           // host:port, port 0 for any free one; required
	Ready  func(url string) // called once connections are accepted; may be nil
	Log    io.Writer        // gets a line for each request; nil for none
}

// Serve serves a repository over HTTP until ctx ends, and then lets requests that
// are under way finish, for at most five seconds.
func Serve(ctx context.Context, cfg ServeConfig) error {
	if _, err := os.Stat(filepath.Join(cfg.Dir, metadataFolder, timestampFile)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", cfg.Dir, ErrNoRepository)
	}
	handler, err := Handler(cfg.Dir)
	if err != nil {
		return err
	}
	defer handler.Close()
	var serving http.Handler = handler
	if cfg.Log != nil {
		serving = logged(handler, cfg.Log)
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{
		Handler:           serving,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if cfg.Ready != nil {
		cfg.Ready("http://" + listener.Addr().String())
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		server.Close()
	}
	<-ended
	return nil
}

// FolderHandler serves the regular files of one folder; see Handler.
type FolderHandler struct{ root *os.Root }

// Handler answers GET and HEAD with the files under dir, with byte ranges,
// Last-Modified and ETag. It lists no folders, serves no name that begins with
// a dot, and follows no link out of dir.
func Handler(dir string) (*FolderHandler, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &FolderHandler{root}, nil
}

// Close lets go of the folder.
func (h *FolderHandler) Close() error { return h.root.Close() }

// ServeHTTP implements http.Handler.
func (h *FolderHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if !fs.ValidPath(name) || !public(name) {
		http.NotFound(w, r)
		return
	}
	// What is not a regular file is found out before it is opened, as opening a
	// FIFO waits.
	info, err := h.root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	f, err := h.root.Open(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		http.Error(w, "unreadable", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType(name))
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// Only what is named by version or digest never changes.
	if strings.HasPrefix(name, artifactsFolder+"/") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, name, info.ModTime(), f)
}

// public reports whether a name is one that a repository has: not a temporary
// file, nor what else somebody keeps beside it, such as keys.
func public(name string) bool {
	folder, _, _ := strings.Cut(name, "/")
	if folder != metadataFolder && folder != targetsFolder && folder != artifactsFolder {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return false
		}
	}
	return true
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".json":
		return "application/json"
	case ".zst":
		return "application/zstd"
	}
	return "application/octet-stream"
}

// logged writes a line for each request once it is answered.
func logged(next http.Handler, w io.Writer) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		began := time.Now()
		counted := &countingWriter{ResponseWriter: rw, status: http.StatusOK}
		next.ServeHTTP(counted, r)
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%s %s %q %d %d bytes %.0f ms %s\n", r.RemoteAddr, r.Method, r.URL.EscapedPath(), counted.status, counted.written,
			time.Since(began).Seconds()*1000, r.Header.Get("Range"))
	})
}

type countingWriter struct {
	http.ResponseWriter
	status  int
	written int64
}

func (c *countingWriter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.written += int64(n)
	return n, err
}

// ReadFrom keeps sendfile in use.
func (c *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	to, ok := c.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	n, err := to.ReadFrom(r)
	c.written += n
	return n, err
}
