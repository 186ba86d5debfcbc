package registry_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	server "github.com/google/go-containerregistry/pkg/registry"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/manifests"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shop is a registry in this process.
type shop struct {
	*httptest.Server
	inner http.Handler
	wrap  atomic.Pointer[func(http.ResponseWriter, *http.Request, http.Handler)]

	mu    sync.Mutex
	asked []string
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{inner: server.New(server.Logger(log.New(io.Discard, "", 0)))}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		if wrap := s.wrap.Load(); wrap != nil {
			(*wrap)(w, r, s.inner)
			return
		}
		s.inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shop) misbehave(how func(w http.ResponseWriter, r *http.Request, registry http.Handler)) {
	s.wrap.Store(&how)
}

// requests are those whose path has the word, since the last call.
func (s *shop) requests(word string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, line := range s.asked {
		if strings.Contains(line, word) {
			n++
		}
	}
	s.asked = nil
	return n
}

func (s *shop) host() string { return strings.TrimPrefix(s.URL, "http://") }

// put stores something in the registry, past what wraps it.
func (s *shop) put(t testing.TB, method, path, kind string, content []byte) {
	t.Helper()
	request := httptest.NewRequest(method, path, bytes.NewReader(content))
	request.Header.Set("Content-Type", kind)
	answer := httptest.NewRecorder()
	s.inner.ServeHTTP(answer, request)
	if answer.Code != http.StatusCreated {
		t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
}

// push tags files as a repository.
func (s *shop) push(t testing.TB, tag string, files map[string][]byte) {
	t.Helper()
	m := registry.Manifest{SchemaVersion: 2, MediaType: registry.ManifestType, ArtifactType: registry.ArtifactType}
	m.Config = registry.Descriptor{MediaType: registry.EmptyType, Size: 2, Digest: manifests.DigestOf([]byte("{}"))}
	s.put(t, http.MethodPost, "/v2/team/os/blobs/uploads/?digest="+m.Config.Digest.String(), "", []byte("{}"))
	for name, content := range files {
		layer := registry.Descriptor{MediaType: registry.FileType, Size: int64(len(content)), Digest: manifests.DigestOf(content)}
		layer.Annotations.Title = name
		m.Layers = append(m.Layers, layer)
		s.put(t, http.MethodPost, "/v2/team/os/blobs/uploads/?digest="+layer.Digest.String(), "", content)
	}
	text, err := json.Marshal(m)
	check(t, err)
	s.put(t, http.MethodPut, "/v2/team/os/manifests/"+tag, registry.ManifestType, text)
}

func (s *shop) client(t testing.TB, credentials string) *fetch.Client {
	t.Helper()
	base := "oci://" + s.host() + "/team/os:stable"
	ref, err := registry.ParseReference(base)
	check(t, err)
	patience := fetch.Patience{Pause: time.Millisecond, Attempts: 2, Window: 2 * time.Second}
	c, err := fetch.New(fetch.Config{Base: base, Patience: patience, Schemes: map[string]func(http.RoundTripper) http.RoundTripper{
		registry.Scheme: func(pool http.RoundTripper) http.RoundTripper {
			return registry.New(registry.Config{Reference: ref, Pool: pool, UserAgent: "proa-test", Patience: patience, Credentials: credentials})
		},
	}})
	check(t, err)
	return c
}

// get is a file's content by a whole download.
func get(t testing.TB, c *fetch.Client, name string, want []byte) error {
	t.Helper()
	target := filepath.Join(t.TempDir(), "got")
	return c.File(t.Context(), name, manifests.FetchFile{Size: int64(len(want)), Digest: manifests.DigestOf(want)}, target)
}

// read is a small file's content as the metadata's reader gets it.
func read(t testing.TB, c *fetch.Client, s *shop, name string) (string, error) {
	t.Helper()
	response, err := c.HTTP().Get("oci://" + s.host() + "/team/os:stable/" + name)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return response.Status, nil
	}
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

var (
	artifact     = bytes.Repeat([]byte("0123456789"), 100_000)
	artifactName = fmt.Sprintf("artifacts/ab/%x", sha256.Sum256(artifact))
)

func files(timestamp string) map[string][]byte {
	return map[string][]byte{
		"metadata/1.root.json":    []byte("root"),
		"metadata/timestamp.json": []byte(timestamp),
		artifactName:              artifact,
	}
}

func TestFilesOfARepositoryComeFromBlobs(t *testing.T) {
	s := openShop(t)
	s.push(t, "stable", files("1"))
	c := s.client(t, "")
	check(t, get(t, c, "metadata/timestamp.json", []byte("1")))
	check(t, get(t, c, artifactName, artifact))
	for _, span := range [][2]int64{{0, 10}, {123_456, 654_321}, {999_999, 1_000_000}} {
		got, err := io.ReadAll(c.Range(t.Context(), artifactName, int64(len(artifact)), span[0], span[1]))
		if err != nil || !bytes.Equal(got, artifact[span[0]:span[1]]) {
			t.Errorf("range %v: %d bytes, %v", span, len(got), err)
		}
	}
	// Ranges go through, so no byte came that was not asked for.
	if received, most := c.Received(), int64(1+len(artifact)+10+654_321-123_456+1); received > most {
		t.Errorf("%d bytes came, want %d", received, most)
	}
	if text, err := read(t, c, s, "metadata/2.root.json"); err != nil || text != "404 Not Found" {
		t.Errorf("a file that is not there: %q, %v", text, err)
	}
}

func TestARefreshLooksAtTheTagOnceAndSeesWhatIsNew(t *testing.T) {
	s := openShop(t)
	s.push(t, "stable", files("1"))
	c := s.client(t, "")
	refresh := func(want string) {
		t.Helper()
		for name, want := range map[string]string{"metadata/2.root.json": "404 Not Found"} {
			if got, err := read(t, c, s, name); err != nil || got != want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		if got, err := read(t, c, s, "metadata/timestamp.json"); err != nil || got != want {
			t.Errorf("timestamp %q, %v: want %q", got, err, want)
		}
		check(t, get(t, c, artifactName, artifact))
	}
	refresh("1")
	if n := s.requests("/manifests/"); n != 1 {
		t.Errorf("first refresh: %d requests for the manifest", n)
	}
	refresh("1")
	if n := s.requests("/manifests/"); n != 1 {
		t.Errorf("second refresh: %d requests for the manifest", n)
	}
	s.push(t, "stable", files("2"))
	refresh("2")
	if n := s.requests("/manifests/"); n != 2 { // HEAD tells that it is another
		t.Errorf("third refresh: %d requests for the manifest", n)
	}
	if got, err := read(t, c, s, "metadata/timestamp.json"); err != nil || got != "2" {
		t.Errorf("timestamp %q, %v", got, err)
	}
	withRoot := files("3")
	withRoot["metadata/2.root.json"] = []byte("root 2")
	s.push(t, "stable", withRoot)
	if got, err := read(t, c, s, "metadata/2.root.json"); err != nil || got != "root 2" {
		t.Errorf("the new root is %q, %v", got, err)
	}
}

// guarded asks for the name u and the password p: directly, or for the token
// that they get; or, as "anyone", for a token that anybody gets.
func guarded(kind string, tokens *atomic.Int64) func(http.ResponseWriter, *http.Request, http.Handler) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p"))
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		given := r.Header.Get("Authorization")
		good := fmt.Sprintf("Bearer good%d", tokens.Load())
		switch {
		case r.URL.Path == "/token":
			q := r.URL.Query()
			if kind == "bearer" && given != basic || kind == "anyone" && given != "" || q.Get("scope") != "repository:team/os:pull" || q.Get("service") != "it, \"quoted\"" || q.Get("more") != "1" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprintf(w, `{"access_token":"good%d"}`, tokens.Load())
		case kind == "basic" && given == basic, kind != "basic" && given == good:
			next.ServeHTTP(w, r)
		case kind == "basic":
			w.Header().Set("WWW-Authenticate", `Basic realm="it"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Add("WWW-Authenticate", `Negotiate`)
			w.Header().Add("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token?more=1",service="it, \"quoted\"",scope="repository:other:push"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
}

func credentials(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth.json")
	check(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func auth(host, user string) string {
	return fmt.Sprintf(`{"auths":{%q:{"auth":%q}},"credsStore":"desktop"}`, host, base64.StdEncoding.EncodeToString([]byte(user)))
}

func TestARegistryThatAsksWhoIsThereIsTold(t *testing.T) {
	s := openShop(t)
	s.push(t, "stable", files("1"))
	for _, test := range []struct {
		kind, file string
		want       error
	}{
		{"basic", auth(s.host(), "u:p"), nil},
		{"basic", auth("http://"+s.host()+"/v2/", "u:p"), nil},
		{"basic", auth(s.host()+"/team", "u:p"), nil},
		{"basic", auth(s.host()+"/team/os", "u:p"), nil},
		{"basic", fmt.Sprintf(`{"auths":{%q:{"username":"u","password":"p"}, %q:{"username":"no"}}}`, s.host(), s.host()+"/tea"), nil},
		{"basic", auth(s.host()+"/te", "u:p"), registry.ErrUnauthorized},
		{"basic", auth("example.org", "u:p"), registry.ErrUnauthorized},
		{"basic", auth(s.host(), "u:q"), registry.ErrUnauthorized},
		{"basic", "", registry.ErrUnauthorized},
		{"bearer", auth(s.host(), "u:p"), nil},
		{"bearer", auth(s.host(), "u:q"), registry.ErrUnauthorized},
		{"bearer", "", registry.ErrUnauthorized},
		{"anyone", "", nil},
	} {
		var tokens atomic.Int64
		s.misbehave(guarded(test.kind, &tokens))
		file := filepath.Join(t.TempDir(), "missing")
		if test.file != "" {
			file = credentials(t, test.file)
		}
		c := s.client(t, file)
		s.requests("")
		_, err := read(t, c, s, "metadata/timestamp.json")
		if !errors.Is(err, test.want) || err == nil && test.want != nil {
			t.Errorf("%s %s: %v", test.kind, test.file, err)
		}
		if test.want != nil {
			if err := get(t, c, artifactName, artifact); err == nil {
				t.Errorf("%s: got in", test.kind)
			}
			continue
		}
		check(t, get(t, c, artifactName, artifact))
		if n := s.requests("/token"); test.kind != "basic" && n != 1 {
			t.Errorf("%s: asked for %d tokens", test.kind, n)
		}
		tokens.Add(1) // the old one is not good any more
		check(t, get(t, c, artifactName, artifact))
	}
}

func TestCredentialsThatAreNoneAreRefusedWithoutBeingShown(t *testing.T) {
	s := openShop(t)
	s.push(t, "stable", files("1"))
	s.misbehave(guarded("basic", new(atomic.Int64)))
	for text, want := range map[string]string{
		`{"auths": "c2VjcmV0"}`: "want JSON",
		`c2VjcmV0`:              "want JSON",
		`{"auths":{"` + s.host() + `":{"auth":"c2VjcmV0"}}}`:  "want name:password",
		`{"auths":{"` + s.host() + `":{"auth":"c2VjcmV0!"}}}`: "want name:password",
		`{"auths":{"` + s.host() + `":{}}}`:                   "neither auth nor",
		strings.Repeat(" ", 300<<10):                          "at most",
	} {
		_, err := read(t, s.client(t, credentials(t, text)), s, "metadata/timestamp.json")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%.50s: %v: want %q", text, err, want)
		}
	}
	open := credentials(t, auth(s.host(), "u:p"))
	check(t, os.Chmod(open, 0o644))
	if _, err := read(t, s.client(t, open), s, "metadata/timestamp.json"); err == nil || !strings.Contains(err.Error(), "want 0600") {
		t.Errorf("a file that others read: %v", err)
	}
}

func TestCredentialsGoToNoOtherHost(t *testing.T) {
	s := openShop(t)
	s.push(t, "stable", files("1"))
	var asked, leaked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if len(r.Header["Authorization"])+len(r.Header["Cookie"]) > 0 {
			leaked.Add(1)
		}
		s.inner.ServeHTTP(w, r)
	}))
	defer elsewhere.Close()
	for _, kind := range []string{"basic", "bearer"} {
		var tokens atomic.Int64
		s.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			guarded(kind, &tokens)(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.URL.Path, "/blobs/") {
					next.ServeHTTP(w, r)
					return
				}
				http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
				http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
			}))
		})
		c := s.client(t, credentials(t, auth(s.host(), "u:p")))
		check(t, get(t, c, artifactName, artifact))
		got, err := io.ReadAll(c.Range(t.Context(), artifactName, int64(len(artifact)), 5, 15))
		if err != nil || string(got) != "5678901234" {
			t.Errorf("%s: range %q, %v", kind, got, err)
		}
	}
	if asked.Load() < 4 || leaked.Load() > 0 {
		t.Errorf("%d of %d requests to the other host had credentials", leaked.Load(), asked.Load())
	}
}

// TestATokenIsNotAskedForWhereARedirectLeads: the password would go along.
func TestATokenIsNotAskedForWhereARedirectLeads(t *testing.T) {
	s := openShop(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	defer elsewhere.Close()
	s.misbehave(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		if r.URL.Path == "/token" {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, r.Host))
		w.WriteHeader(http.StatusUnauthorized)
	})
	if _, err := read(t, s.client(t, credentials(t, auth(s.host(), "u:p"))), s, "metadata/timestamp.json"); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("error %v", err)
	}
}

func TestHostileRegistriesAreRefused(t *testing.T) {
	s := openShop(t)
	s.push(t, "stable", files("1"))
	image := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:` + strings.Repeat("ab", 32) + `","size":2},"layers":[]}`
	endless := func(w http.ResponseWriter) {
		for {
			if _, err := w.Write(bytes.Repeat([]byte(`{"a":`), 10_000)); err != nil {
				return
			}
		}
	}
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		want   string
	}{
		"an image":             {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, image) }, "no proa repository"},
		"an endless manifest":  {func(w http.ResponseWriter, _ *http.Request) { endless(w) }, "more than 4194304 bytes"},
		"text":                 {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, "invalid character"},
		"nothing":              {func(http.ResponseWriter, *http.Request) {}, "unexpected end"},
		"no such tag":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "404"},
		"forbidden":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, "refuses access"},
		"unauthorized, no why": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, "refuses access"},
		"a redirect loop":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, 302) }, "redirects"},
		"a redirect to a file": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "file:///etc/passwd", 302) }, "want https"},
		"a redirect to http":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://192.0.2.1/", 302) }, "want https"},
		"a realm by http": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://192.0.2.1/token"`)
			w.WriteHeader(401)
		}, "want https"},
		"a realm that is none": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="/token"`)
			w.WriteHeader(401)
		}, "want a URL"},
		"an endless token": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				endless(w)
				return
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, r.Host))
			w.WriteHeader(401)
		}, "more than 65536 bytes"},
	} {
		s.misbehave(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { test.answer(w, r) })
		if _, err := read(t, s.client(t, ""), s, "metadata/timestamp.json"); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v: want %q", name, err, test.want)
		}
	}
}

// TestAMissingBlobIsNoMissingFile: who looks for newer roots takes a missing file
// for the end of them.
func TestAMissingBlobIsNoMissingFile(t *testing.T) {
	s := openShop(t)
	s.push(t, "stable", files("1"))
	for _, status := range []int{403, 404, 500} {
		s.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				w.WriteHeader(status)
				return
			}
			next.ServeHTTP(w, r)
		})
		if text, err := read(t, s.client(t, ""), s, "metadata/1.root.json"); err == nil {
			t.Errorf("%d: %q", status, text)
		}
	}
	s.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			w.Write(artifact[1:])
			return
		}
		next.ServeHTTP(w, r)
	})
	if err := get(t, s.client(t, ""), artifactName, artifact); err == nil {
		t.Error("another blob was taken")
	}
}

func TestReferencesAreThoseOfTheSpecification(t *testing.T) {
	for text, want := range map[string]string{
		"oci://ghcr.io/example/os":              "oci://ghcr.io/example/os:latest",
		"oci://localhost:5000/os:stable":        "oci://localhost:5000/os:stable",
		"oci://[::1]:5000/a/b/c:V1.0_x-y":       "oci://[::1]:5000/a/b/c:V1.0_x-y",
		"oci://r/a.b_c__d---e/f0:1":             "oci://r/a.b_c__d---e/f0:1",
		"oci://docker.io/example/os:_":          "oci://docker.io/example/os:_",
		"oci://r/a:" + strings.Repeat("x", 128): "oci://r/a:" + strings.Repeat("x", 128),
	} {
		if got, err := registry.ParseReference(text); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "oci:", "oci://", "oci:///os", "oci://r", "oci://r/", "https://r/os", "oci://r/os:", "oci://r/os@sha256:" + strings.Repeat("a", 64),
		"oci://r/os:1@sha256:" + strings.Repeat("a", 64), "oci://r/OS", "oci://r/a//b", "oci://r/../b", "oci://r/a..b", "oci://r/a___b", "oci://r/a._b",
		"oci://r/-a", "oci://r/a-", "oci://r/.a", "oci://r/a/", "oci://r/a%2fb", "oci://r/a?b", "oci://r/a#b", "oci://u:p@r/a", "oci://r/a:-", "oci://r/a:.x", "oci://r/a:b:c",
		"oci://r/a:b/c", "oci://r/ä", "oci://r/a b", "oci:r/a", "oci://r:x/a", "oci://r/a:" + strings.Repeat("x", 129), "oci://r/" + strings.Repeat("a", 2000),
	} {
		if got, err := registry.ParseReference(text); err == nil {
			t.Errorf("%.60s: %v", text, got)
		}
	}
}

func TestNoRedirectLeadsIntoAPrivateNetwork(t *testing.T) {
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"https://registry.example/", "https://blobs.example/", true},
		{"https://registry.example/", "https://127.0.0.1/", false},
		{"https://registry.example/", "https://localhost/", false},
		{"https://registry.example/", "https://10.0.0.1/", false},
		{"https://registry.example/", "https://[fe80::1%25eth0]/", false},
		{"https://registry.example/", "https://169.254.169.254/", false},
		{"https://registry.example/", "http://blobs.example/", false},
		{"https://10.0.0.1/", "https://10.0.0.2/", true},
	} {
		from, to := &http.Request{URL: mustParse(t, test.from)}, &http.Request{URL: mustParse(t, test.to)}
		if err := registry.CheckRedirect(to, []*http.Request{from}); (err == nil) != test.want {
			t.Errorf("%s to %s: %v", test.from, test.to, err)
		}
	}
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	check(t, err)
	return u
}
