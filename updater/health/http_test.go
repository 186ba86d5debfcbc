package health

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
)

func service(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/made", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	mux.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ready", http.StatusFound) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			io.WriteString(w, strings.Repeat("x", 4096))
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/stalled", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the beginning")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/shouting", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 1<<20))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestAURLIsHealthyByItsStatusAlone(t *testing.T) {
	server := service(t)
	for _, test := range []struct {
		path   string
		status manifests.Statuses
		want   string
	}{
		{"/ready", nil, ""},
		{"/made", nil, ""},
		{"/made", manifests.Statuses{200}, "201"},
		{"/made", manifests.Statuses{200, 201}, ""},
		{"/down", nil, "503"},
		{"/down", manifests.Statuses{503}, ""},
		{"/none", nil, "404"},
		{"/moved", nil, "302"},
		{"/moved", manifests.Statuses{302}, ""},
		{"/endless", nil, ""},
		{"/shouting", nil, "net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded 65536 bytes; aborted"},
	} {
		err := ask(t.Context(), manifests.HealthCheck{HTTP: server.URL + test.path, Status: test.status})
		if got := text(err); got != test.want {
			t.Errorf("%s %v: got %q, want %q", test.path, test.status, got, test.want)
		}
	}
}

// text is an error's, whatever the time for which a check has been failing.
func text(err error) string {
	if err == nil {
		return ""
	}
	return lasting.ReplaceAllString(err.Error(), " for a while")
}

var lasting = regexp.MustCompile(` for [0-9]+ s\b`)

func TestNoProxyAnswersForAService(t *testing.T) {
	server := service(t)
	t.Setenv("HTTP_PROXY", server.URL)
	t.Setenv("http_proxy", server.URL)
	// An address of this machine for which a proxy would be asked, unlike 127.0.0.1.
	if err := ask(t.Context(), manifests.HealthCheck{HTTP: "http://0.0.0.0:1/ready"}); !strings.HasSuffix(text(err), "connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestAURLThatDoesNotAnswerSaysSo(t *testing.T) {
	server := service(t)
	for _, path := range []string{"/silent", "/stalled"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := ask(ctx, manifests.HealthCheck{HTTP: server.URL + path})
		cancel()
		if !strings.HasPrefix(text(err), "no answer within ") {
			t.Errorf("%s: got %v", path, err)
		}
	}
	server.Close()
	err := ask(t.Context(), manifests.HealthCheck{HTTP: server.URL})
	if !strings.HasSuffix(text(err), "connect: connection refused") || strings.Contains(text(err), "Get ") {
		t.Errorf("got %v", err)
	}
}

func TestAnUntrustedCertificateIsNotHealthy(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of our refusal
	server.StartTLS()
	t.Cleanup(server.Close)
	err := ask(t.Context(), manifests.HealthCheck{HTTP: server.URL, Status: manifests.Statuses{404}})
	if !strings.Contains(text(err), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestAUnixSocketIsAskedInPlaceOfTheNetwork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "gateway" || r.URL.Path != "/ready" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	must(t, ask(t.Context(), manifests.HealthCheck{HTTP: "http://gateway/ready", Socket: path}))
}

func TestTheReasonOfAURLHasItsNameAndTheTimeThatItFailed(t *testing.T) {
	server := service(t)
	c := New(Config{
		Timeout: time.Minute, Limit: 300 * time.Millisecond, Pause: time.Millisecond,
		Checks: []manifests.HealthCheck{{Name: "gateway.http", HTTP: server.URL + "/down"}},
	})
	if err := c.Run(t.Context()); text(err) != "health check gateway.http: 503 for a while" {
		t.Errorf("got %v", err)
	}
}
