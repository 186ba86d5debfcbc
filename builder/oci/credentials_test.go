package oci_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/tarball/tartest"
)

func emptyIndex() v1.ImageIndex { return empty.Index }

// guarded asks for the name u and the password p: directly, or for the token
// that they get.
func guarded(kind string) func(http.ResponseWriter, *http.Request, http.Handler) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p"))
	return func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
		given := r.Header.Get("Authorization")
		switch {
		case r.URL.Path == "/token" && given == basic:
			fmt.Fprint(w, `{"token":"good"}`)
		case kind == "bearer" && given == "Bearer good", kind == "basic" && given == basic:
			registry.ServeHTTP(w, r)
		case kind == "basic":
			w.Header().Set("WWW-Authenticate", `Basic realm="it"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="it"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

func auths(host, user string) string {
	return fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user)))
}

func TestCredentialsAreThoseOfDockerAndPodman(t *testing.T) {
	s := openShop(t)
	reference := s.push(t, "secret/a:1", image(t, "amd64", tartest.Archive(file("a", "1"))))
	for _, kind := range []string{"basic", "bearer"} {
		s.misbehave(guarded(kind))
		for name, prepare := range map[string]func(t *testing.T, dir string){
			"docker": func(t *testing.T, dir string) {
				write(t, dir+"/config.json", auths(s.host, "u:p"), 0o600)
				t.Setenv("DOCKER_CONFIG", dir)
			},
			"home": func(t *testing.T, dir string) {
				write(t, dir+"/.docker/config.json", auths(s.host, "u:p"), 0o600)
				t.Setenv("HOME", dir)
				t.Setenv("DOCKER_CONFIG", dir+"/.docker")
			},
			"podman": func(t *testing.T, dir string) {
				write(t, dir+"/containers/auth.json", auths(s.host, "u:p"), 0o600)
				t.Setenv("XDG_RUNTIME_DIR", dir)
			},
			"file": func(t *testing.T, dir string) {
				write(t, dir+"/auth.json", auths(s.host, "u:p"), 0o600)
				t.Setenv("REGISTRY_AUTH_FILE", dir+"/auth.json")
			},
			"helper": func(t *testing.T, dir string) {
				write(t, dir+"/config.json", fmt.Sprintf(`{"credHelpers":{%q:"proatest"}}`, s.host), 0o600)
				write(t, dir+"/docker-credential-proatest", "#!/bin/sh\nread -r server\n[ \"$1\" = get ] && printf '{\"ServerURL\":\"%s\",\"Username\":\"u\",\"Secret\":\"p\"}' \"$server\"\n", 0o755)
				t.Setenv("DOCKER_CONFIG", dir)
				t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			},
			"nobody": func(*testing.T, string) {},
			"wrong": func(t *testing.T, dir string) {
				write(t, dir+"/config.json", auths(s.host, "u:q"), 0o600)
				t.Setenv("DOCKER_CONFIG", dir)
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				prepare(t, t.TempDir())
				got, err := pull(t, reference, nil)
				if name == "nobody" || name == "wrong" {
					if !errors.Is(err, oci.ErrUnauthorized) {
						t.Errorf("error %v: want ErrUnauthorized", err)
					}
					return
				}
				check(t, name, got, err, `a file 0644 0:0 "1"`)
			})
		}
	}
	s.misbehave(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusForbidden) })
	if _, err := resolve(t, reference); !errors.Is(err, oci.ErrUnauthorized) {
		t.Errorf("forbidden: %v: want ErrUnauthorized", err)
	}
}

func TestCredentialsDoNotFollowARedirectToAnotherHost(t *testing.T) {
	s := openShop(t)
	reference := s.push(t, "a:1", image(t, "amd64", tartest.Archive(file("a", "1"))))
	var leaked, asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if len(r.Header["Authorization"])+len(r.Header["Cookie"]) > 0 {
			leaked.Add(1)
		}
		r.Header.Set("Authorization", r.URL.Query().Get("as"))
		guarded(r.URL.Query().Get("kind"))(w, r, http.HandlerFunc(s.direct))
	}))
	defer elsewhere.Close()
	home := t.TempDir()
	write(t, home+"/config.json", auths(s.host, "u:p"), 0o600)
	t.Setenv("DOCKER_CONFIG", home)
	for _, kind := range []string{"basic", "bearer"} {
		s.misbehave(func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
			guarded(kind)(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.URL.Path, "/blobs/") {
					registry.ServeHTTP(w, r)
					return
				}
				query := "?kind=" + kind + "&as=" + strings.ReplaceAll(r.Header.Get("Authorization"), " ", "%20")
				http.Redirect(w, r, elsewhere.URL+r.URL.Path+query, http.StatusTemporaryRedirect)
			}))
		})
		got, err := pull(t, reference, nil)
		check(t, kind, got, err, `a file 0644 0:0 "1"`)
	}
	if asked.Load() < 4 || leaked.Load() > 0 {
		t.Errorf("%d of %d requests to the other host had credentials", leaked.Load(), asked.Load())
	}
}
