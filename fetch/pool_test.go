package fetch

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// counting is a server that is not started yet, and the connections that it gets.
func counting(t *testing.T, handle http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(handle)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	t.Cleanup(server.Close)
	return server, &connections
}

// apart are spans that need a request each.
func apart(n int) []Span {
	var spans []Span
	for i := range int64(n) {
		spans = append(spans, Span{i * 30_000, i*30_000 + 1000})
	}
	return spans
}

func TestHTTP2CarriesAllRequestsOverOneConnection(t *testing.T) {
	const parallel = 4
	var now, requests atomic.Int64
	all := make(chan struct{})
	server, connections := counting(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("asked over %s", r.Proto)
		}
		// After the first, requests are answered when as many wait as may.
		if requests.Add(1) > 1 && now.Add(1) == parallel-1 {
			close(all)
		}
		if requests.Load() > 1 {
			<-all
		}
		whole(w, r)
	})
	server.EnableHTTP2 = true
	server.StartTLS()
	c, err := New(Config{Base: server.URL, Connections: parallel})
	check(t, err)
	c.pool.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	spans := apart(20)
	got, err := readEach(t.Context(), c.Object("x", int64(len(content))), spans, parallel)
	expect(t, spans, got, err)
	if connections.Load() != 1 || requests.Load() != 20 {
		t.Errorf("%d requests over %d connections: want 20 over 1", requests.Load(), connections.Load())
	}
}

func TestConnectionsAreKept(t *testing.T) {
	for _, parallel := range []int{1, 4} {
		server, connections := counting(t, func(w http.ResponseWriter, r *http.Request) { whole(w, r) })
		server.Start()
		c, err := New(Config{Base: server.URL, Connections: parallel, Proxy: ProxyNone})
		check(t, err)
		spans := apart(20)
		for range 3 {
			got, err := readEach(t.Context(), c.Object("x", int64(len(content))), spans, parallel)
			expect(t, spans, got, err)
		}
		// One more may be opened when the one to be used is free a moment too late.
		if n := connections.Load(); n > int64(3*parallel) {
			t.Errorf("%d at once: %d connections for 60 requests", parallel, n)
		}
	}
}

func TestClosingClosesIdleConnections(t *testing.T) {
	gone := make(chan struct{}, 2)
	server, _ := counting(t, func(w http.ResponseWriter, r *http.Request) { whole(w, r) })
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			gone <- struct{}{}
		}
	}
	server.Start()
	c, err := New(Config{Base: server.URL})
	check(t, err)
	web := NewWeb(Config{})
	for _, pool := range []*http.Transport{c.pool, web.http.Transport.(*pacer).next.(*http.Transport)} {
		pool.IdleConnTimeout = 0 // nothing else closes them
	}
	_, err = readRange(c, 0, 10)
	check(t, err)
	_, err = web.Get(t.Context(), server.URL, int64(len(content)))
	check(t, err)
	for _, end := range []func(){c.Close, web.Close} {
		end()
		select {
		case <-gone:
		case <-time.After(30 * time.Second):
			t.Fatal("it stays open")
		}
	}
}

// TestAConnectionThatDiesSilentlyIsGivenUp cuts the first one without a word, as a
// router does that forgets it.
func TestAConnectionThatDiesSilentlyIsGivenUp(t *testing.T) {
	server, _ := counting(t, func(w http.ResponseWriter, r *http.Request) { whole(w, r) })
	server.EnableHTTP2 = true
	server.StartTLS()
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer outside.Close()
	go func() {
		for n := 0; ; n++ {
			client, err := outside.Accept()
			if err != nil {
				return
			}
			inside, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { client.Close(); inside.Close() })
			go io.Copy(inside, client)
			if n == 0 {
				go io.CopyN(client, inside, 100_000)
			} else {
				go io.Copy(client, inside)
			}
		}
	}()
	c, err := New(Config{Base: "https://" + outside.Addr().String(), Patience: Patience{Window: 300 * time.Millisecond, Pause: time.Millisecond}})
	check(t, err)
	c.pool.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	if got, err := readRange(c, 0, 600_000); err != nil || !bytes.Equal(got, content[:600_000]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestAClientDoesNotLeaveHTTPS(t *testing.T) {
	for way, read := range ways {
		plain, _ := counting(t, func(w http.ResponseWriter, r *http.Request) { t.Error("asked without TLS"); whole(w, r) })
		plain.Start()
		secure, _ := counting(t, http.RedirectHandler(plain.URL, http.StatusFound).ServeHTTP)
		secure.StartTLS()
		c, err := New(Config{Base: secure.URL, Patience: Patience{Pause: time.Millisecond}})
		check(t, err)
		c.pool.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		if _, err := read(t.Context(), c.Object("x", int64(len(content))), apart(3)); err == nil || !strings.Contains(err.Error(), "redirect from https") {
			t.Errorf("%s: error %v", way, err)
		}
	}
}

// proxy is an HTTP proxy which sends everything to one server, and what it was
// asked for.
func proxy(t *testing.T, server *httptest.Server) (address string, asked *atomic.Value) {
	t.Helper()
	asked = new(atomic.Value)
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.URL.String() + " " + r.Header.Get("Proxy-Authorization"))
		if r.Method != http.MethodConnect {
			server.Config.Handler.ServeHTTP(w, r)
			return
		}
		inside, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		client, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { client.Close(); inside.Close() })
		io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(inside, bufio.NewReader(buffered))
		go io.Copy(client, inside)
	}))
	t.Cleanup(p.Close)
	return p.URL, asked
}

func TestAProxyOfTheConfigurationIsUsedByAll(t *testing.T) {
	plain, _ := counting(t, func(w http.ResponseWriter, r *http.Request) { whole(w, r) })
	plain.Start()
	secure, _ := counting(t, func(w http.ResponseWriter, r *http.Request) { whole(w, r) })
	secure.EnableHTTP2 = true
	secure.StartTLS()
	credentials := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:word"))
	for base, test := range map[string]struct {
		server *httptest.Server
		want   string
	}{
		"http://example.com":  {plain, "GET http://example.com/x "},
		"https://example.com": {secure, "CONNECT //example.com:443 "},
	} {
		address, asked := proxy(t, test.server)
		for user, want := range map[string]string{"": "", "user:word@": credentials} {
			client := func() *Client {
				c, err := New(Config{Base: base, Proxy: strings.Replace(address, "://", "://"+user, 1)})
				check(t, err)
				c.pool.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
				return c
			}
			for name, ask := range map[string]func() ([]byte, error){
				"file":     func() ([]byte, error) { return readRange(client(), 5, 10) },
				"metadata": func() ([]byte, error) { return readAll(client().HTTP().Get(base + "/x")) },
			} {
				got, err := ask()
				if err != nil || !bytes.Contains(got, content[5:10]) {
					t.Errorf("%s, %s: %d bytes, %v", base, name, len(got), err)
				}
				if got := asked.Swap(""); got != test.want+want {
					t.Errorf("%s, %s: the proxy was asked %q: want %q", base, name, got, test.want+want)
				}
			}
		}
	}
}

func readAll(response *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// TestAProxyOfTheEnvironment runs itself, for net/http reads the environment once.
func TestAProxyOfTheEnvironment(t *testing.T) {
	if proxy, inside := os.LookupEnv("FETCH_TEST_PROXY"); inside {
		c, err := New(Config{Base: "http://does-not-exist.invalid", Proxy: proxy, Patience: Patience{Attempts: 1}})
		check(t, err)
		if got, err := readRange(c, 5, 10); err != nil || !bytes.Equal(got, content[5:10]) {
			t.Fatalf("%q, %v", got, err)
		}
		return
	}
	server, _ := counting(t, func(w http.ResponseWriter, r *http.Request) { whole(w, r) })
	server.Start()
	for _, test := range []struct {
		config, noProxy string
		want            bool
	}{{"", "", true}, {"", "does-not-exist.invalid", false}, {ProxyNone, "", false}} {
		address, asked := proxy(t, server)
		run := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAProxyOfTheEnvironment$")
		run.Env = append(os.Environ(), "FETCH_TEST_PROXY="+test.config, "HTTP_PROXY="+address, "http_proxy=", "NO_PROXY="+test.noProxy, "no_proxy=")
		out, err := run.CombinedOutput()
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			t.Fatal(err)
		}
		if used := asked.Load() != nil; used != test.want || (err == nil) != test.want {
			t.Errorf("%+v: the proxy is used %t: %s", test, used, out)
		}
	}
}

func TestProxiesThatAreNoneAreRefused(t *testing.T) {
	for _, proxy := range []string{"x", "proxy:3128", "ftp://x", "http://", "http://:80", "http://x/y", "http://x?y", "http://x#y", "http://[", "None", "socks4://x"} {
		if _, err := New(Config{Base: "http://x", Proxy: proxy}); err == nil || !strings.Contains(err.Error(), "proxy: want a URL") {
			t.Errorf("%q: error %v", proxy, err)
		}
	}
	for _, proxy := range []string{"", ProxyNone, "http://x", "https://u:p@x:1/", "socks5://[::1]:1080"} {
		if _, err := New(Config{Base: "http://x", Proxy: proxy}); err != nil {
			t.Errorf("%q: error %v", proxy, err)
		}
	}
	// A password is not told.
	if _, err := New(Config{Base: "http://x", Proxy: (&url.URL{Scheme: "ftp", User: url.UserPassword("u", "secret"), Host: "x"}).String()}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}
