package repository

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestServerAnswersFilesAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "artifacts/ab"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "artifacts/ab/abcd"), []byte("0123456789"), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "timestamp.json"), []byte("{}"), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "artifacts", ".lock"), []byte("x"), 0o644))
	check(t, os.Symlink("/etc/passwd", filepath.Join(dir, "artifacts", "out")))
	check(t, os.Symlink("/etc", filepath.Join(dir, "artifacts", "folder")))
	check(t, syscall.Mkfifo(filepath.Join(dir, "artifacts", "fifo"), 0o644))
	check(t, os.MkdirAll(filepath.Join(dir, "keys"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "keys", "root.pem"), []byte("secret"), 0o600))
	handler := must[*FolderHandler](t)(Handler(dir))
	defer handler.Close()
	server := httptest.NewServer(handler)
	defer server.Close()

	for _, test := range []struct {
		method, path, bytes string
		status              int
		body                string
	}{
		{"GET", "/artifacts/ab/abcd", "", 200, "0123456789"},
		{"HEAD", "/artifacts/ab/abcd", "", 200, ""},
		{"GET", "/artifacts/ab/abcd", "bytes=2-4", 206, "234"},
		{"GET", "/artifacts/ab/abcd", "bytes=7-", 206, "789"},
		{"GET", "/artifacts/ab/abcd", "bytes=10-", 416, ""},
		{"GET", "/artifacts/ab/abcd", "bytes=-3", 206, "789"},
		{"POST", "/artifacts/ab/abcd", "", 405, ""},
		{"GET", "/artifacts/ab", "", 404, ""},
		{"GET", "/artifacts/ab/", "", 404, ""},
		{"GET", "/", "", 404, ""},
		{"GET", "/timestamp.json", "", 404, ""},
		{"GET", "/keys/root.pem", "", 404, ""},
		{"GET", "/artifacts/.lock", "", 404, ""},
		{"GET", "/artifacts/out", "", 404, ""},
		{"GET", "/artifacts/folder/passwd", "", 404, ""},
		{"GET", "/artifacts/fifo", "", 404, ""},
		{"GET", "/../etc/passwd", "", 404, ""},
		{"GET", "/%2e%2e/%2e%2e/etc/passwd", "", 404, ""},
		{"GET", "//artifacts/ab/abcd", "", 404, ""},
		{"GET", "/artifacts/ab/abcd%00", "", 404, ""},
	} {
		request := must[*http.Request](t)(http.NewRequest(test.method, server.URL, nil))
		request.URL.Opaque = test.path
		if test.bytes != "" {
			request.Header.Set("Range", test.bytes)
		}
		answer := must[*http.Response](t)(http.DefaultTransport.RoundTrip(request))
		body := must[[]byte](t)(io.ReadAll(answer.Body))
		answer.Body.Close()
		if answer.StatusCode != test.status || test.status < 300 && string(body) != test.body {
			t.Errorf("%s %s %s: %d %q, want %d %q", test.method, test.path, test.bytes, answer.StatusCode, body, test.status, test.body)
		}
	}
}

func TestServerLetsAClientNoticeAChangedFile(t *testing.T) {
	dir := t.TempDir()
	path := timestampIn(t, dir)
	handler := must[*FolderHandler](t)(Handler(dir))
	defer handler.Close()
	get := func(header, value string) *httptest.ResponseRecorder {
		request := httptest.NewRequest("GET", "/metadata/timestamp.json", nil)
		if header != "" {
			request.Header.Set(header, value)
		}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		return recorder
	}
	first := get("", "")
	if first.Header().Get("ETag") == "" || first.Header().Get("Last-Modified") == "" || first.Header().Get("Content-Type") != "application/json" {
		t.Errorf("header %v", first.Header())
	}
	if again := get("If-None-Match", first.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("unchanged: %d", again.Code)
	}
	check(t, os.WriteFile(path, []byte("{ }"), 0o644))
	if again := get("If-None-Match", first.Header().Get("ETag")); again.Code != http.StatusOK {
		t.Errorf("changed: %d", again.Code)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	timestampIn(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready, ended := make(chan string, 1), make(chan error, 1)
	var log bytes.Buffer
	go func() {
		ended <- Serve(ctx, ServeConfig{Dir: dir, Listen: "127.0.0.1:0", Ready: func(url string) { ready <- url }, Log: &log})
	}()
	var url string
	select {
	case url = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	answer := must[*http.Response](t)(http.Get(url + "/metadata/timestamp.json"))
	body := must[[]byte](t)(io.ReadAll(answer.Body))
	answer.Body.Close()
	if string(body) != "{}" {
		t.Errorf("body %q", body)
	}
	if err := Serve(ctx, ServeConfig{Dir: dir, Listen: strings.TrimPrefix(url, "http://")}); err == nil {
		t.Error("two servers on one port")
	}
	cancel()
	check(t, <-ended)
	if !strings.Contains(log.String(), `GET "/metadata/timestamp.json" 200 2 bytes`) {
		t.Errorf("log %q", log.String())
	}
	if _, err := http.Get(url + "/metadata/timestamp.json"); err == nil {
		t.Error("it still answers")
	}
}

func TestServeRefusesWhatIsNoRepository(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "no")} {
		if err := Serve(t.Context(), ServeConfig{Dir: dir, Listen: "127.0.0.1:0"}); !errors.Is(err, ErrNoRepository) {
			t.Errorf("%s: got error %v", dir, err)
		}
	}
}

// timestampIn makes a folder look like a repository.
func timestampIn(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, metadataFolder, timestampFile)
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte("{}"), 0o644))
	return path
}
