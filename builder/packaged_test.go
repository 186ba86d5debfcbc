package builder

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/configure"
	"github.com/proa-os/proa/builder/download"
	"github.com/proa-os/proa/builder/erofs"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/builder/resolve/resolvetest"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
)

// locked gives a build a cache in a folder, and a lock of its recipe where it
// has none. Servers get few chances.
func locked(t *testing.T, c Config, folder string) Config {
	t.Helper()
	kept, err := cache.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	fetcher := download.New(kept, download.Config{Patience: fetch.Patience{Pause: time.Millisecond, Attempts: 3, MinimumRate: 1, Window: 500 * time.Millisecond}})
	t.Cleanup(func() { fetcher.Close(); kept.Close() })
	c.Cache, c.Fetcher = kept, fetcher
	c.Registry = oci.Remote{Patience: fetch.Patience{Pause: time.Millisecond, Attempts: 3, MinimumRate: 1, Window: 500 * time.Millisecond}}
	if c.Lock.Inputs == nil {
		c.Lock, err = resolve.Lock(t.Context(), resolve.Config{Recipe: c.Recipe, Folder: c.Folder, Fetcher: fetcher, Now: time.Now(), Registry: c.Registry})
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// sources are a recipe's, of all that the world has.
func sources(w *resolvetest.World) string {
	return "  - {oci: " + w.Registry + "/app:1}\n" +
		"  - deb: {repositories: [{url: " + w.URL + "/debian, suites: [stable], signedBy: [" + w.Key + "]}], packages: [tool]}\n" +
		"  - rpm: {repositories: [{url: " + w.URL + "/rpm, gpgkey: [" + w.Key + "]}], packages: [gear]}\n"
}

// gear is a package with what a file can have.
const gear = `
Name: gear
Version: 1
Release: 1
Summary: x
License: MIT
BuildArch: noarch
%description
x
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/lib/sysusers.d %{buildroot}/etc
echo gear > %{buildroot}/usr/bin/gear
ln %{buildroot}/usr/bin/gear %{buildroot}/usr/bin/gear-too
echo ping > %{buildroot}/usr/bin/gear-ping
echo secret > %{buildroot}/etc/gear.conf
echo 'u gearuser - "Gears" /var/lib/gear' > %{buildroot}/usr/lib/sysusers.d/gear.conf
%files
%attr(0755, root, root) /usr/bin/gear
%attr(0755, root, root) /usr/bin/gear-too
%attr(0755, root, root) %caps(cap_net_raw=ep) /usr/bin/gear-ping
%attr(0644, root, root) /usr/lib/sysusers.d/gear.conf
%config(noreplace) %attr(0640, gearuser, gearuser) /etc/gear.conf
%post
echo gear
`

// shell is what the root that is there already would provide.
const shell = `
Name: shell
Version: 5
Release: 1
Summary: x
License: MIT
BuildArch: noarch
Provides: /bin/sh
%description
x
%files
`

func fill(t *testing.T, w *resolvetest.World) {
	t.Helper()
	w.Push(t, "app", "1", nil)
	w.AddDeb(t,
		resolvetest.Package{Name: "lib", Version: "1.0-2"},
		resolvetest.Package{Name: "tool", Version: "2:1.0~rc1-1", Needs: "lib (>= 1)", Files: map[string]string{
			"DEBIAN/postinst":             "#!/bin/sh\nsome-tool --register\n",
			"DEBIAN/conffiles":            "/etc/tool.conf\n",
			"etc/tool.conf":               "a=b\n",
			"usr/lib/sysusers.d/toolconf": "not read\n",
		}})
	w.RPMOf(t, filepath.Join(w.Dir, resolvetest.RPMPool), gear)
	w.RPMOf(t, filepath.Join(w.Dir, resolvetest.RPMPool), shell)
	w.IndexRPM(t)
}

func TestPackagesArriveWithAllThatTheySay(t *testing.T) {
	w := resolvetest.Open(t)
	fill(t, w)
	c := locked(t, config(t, sources(w)), t.TempDir())
	mustBuild(t, c)

	image, err := os.Open(filepath.Join(c.Output, manifests.RootFile))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	root, err := erofs.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	stat := func(name string) *erofs.Stat {
		t.Helper()
		info, err := fs.Stat(root, name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*erofs.Stat)
	}
	passwd, err := fs.ReadFile(root, "etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	uid := -1
	for line := range strings.Lines(string(passwd)) {
		if fields := strings.Split(line, ":"); fields[0] == "gearuser" {
			uid, _ = strconv.Atoi(fields[2])
		}
	}
	if s := stat("etc/gear.conf"); uid <= 0 || int(s.UID) != uid || s.GID == 0 || s.Mode.Perm() != 0o640 {
		t.Errorf("etc/gear.conf is %+v: want the user gearuser, who is %d", s, uid)
	}
	const capNetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	if s := stat("usr/bin/gear-ping"); s.Xattrs["security.capability"] != capNetRaw {
		t.Errorf("usr/bin/gear-ping has %q", s.Xattrs)
	}
	if a, b := stat("usr/bin/gear"), stat("usr/bin/gear-too"); a.Ino != b.Ino || a.Nlink != 2 {
		t.Errorf("usr/bin/gear and gear-too are inodes %d and %d with %d links", a.Ino, b.Ino, a.Nlink)
	}

	extracted := filepath.Join(t.TempDir(), "root")
	run(t, "fsck.erofs", "--extract="+extracted, "--no-preserve-owner", filepath.Join(c.Output, manifests.RootFile))
	if out := run(t, "dpkg-query", "--admindir="+extracted+"/var/lib/dpkg", "-W", "-f", "${Package} ${Version} ${db:Status-Status} ${Conffiles}\n"); !strings.Contains(out, "lib 1.0-2 installed") || !strings.Contains(out, "tool 2:1.0~rc1-1 installed  /etc/tool.conf ") {
		t.Errorf("dpkg lists %q", out)
	}
	run(t, "dpkg", "--root="+extracted, "--audit")
	run(t, "dpkg", "--root="+extracted, "--verify", "tool", "lib")
	if out := run(t, "rpm", "--dbpath", extracted+"/usr/lib/sysimage/rpm", "-q", "--qf", "%{NAME} %{VERSION} [%{FILENAMES}:%{FILEUSERNAME} ]", "gear"); !strings.Contains(out, "/etc/gear.conf:gearuser") {
		t.Errorf("rpm says %q", out)
	}

	text, err := os.ReadFile(filepath.Join(c.Output, manifests.ScriptsFile))
	if err != nil {
		t.Fatal(err)
	}
	var report configure.Report
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tool", "gear", "gearuser", "some-tool --register"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("scripts.json does not speak of %s: %s", want, text)
		}
	}
}

// counting counts what is asked of a Fetcher.
type counting struct {
	packages.Fetcher
	calls atomic.Int64
}

func (c *counting) Get(ctx context.Context, url string, most int64) ([]byte, error) {
	c.calls.Add(1)
	return c.Fetcher.Get(ctx, url, most)
}

func (c *counting) File(ctx context.Context, url string, size int64, want packages.Checksum) (string, manifests.Digest, error) {
	c.calls.Add(1)
	return c.Fetcher.File(ctx, url, size, want)
}

// TestASecondBuildReadsNeitherLayersNorPackages takes away what it would have
// to read.
func TestASecondBuildReadsNeitherLayersNorPackages(t *testing.T) {
	w := resolvetest.Open(t)
	fill(t, w)
	folder := t.TempDir()
	first := locked(t, config(t, sources(w)+"  - dir: overlay\n"), folder)
	file := filepath.Join(first.Folder, "overlay/usr/share/note")
	write := func(text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	mustBuild(t, first)

	w.Close()
	w.Requests()
	gone := 0
	for _, in := range first.Lock.Inputs {
		var digests []manifests.Digest
		for _, p := range in.Packages {
			digests = append(digests, p.Digest)
		}
		if in.Image != nil {
			for _, layer := range in.Image.Layers {
				digests = append(digests, layer.Digest)
			}
		}
		for _, digest := range digests {
			if path, ok := first.Cache.Blob(digest); ok && os.Remove(path) == nil {
				gone++
			}
		}
	}
	if gone != 5 {
		t.Fatalf("%d blobs were in the cache: want a layer and four packages", gone)
	}
	write("second")
	second := first
	second.Output += "-2"
	asked := &counting{Fetcher: first.Fetcher}
	second.Fetcher = asked
	second.Registry.Offline = true
	mustBuild(t, second)
	if asked.calls.Load() != 0 || w.Requests() != 0 {
		t.Errorf("%d files were asked for, %d requests made", asked.calls.Load(), w.Requests())
	}
	check, err := Rebuild(t.Context(), second, mustRelease(t, first.Output), first.Output)
	if err != nil || check.Same || check.Path != "usr/share/note" {
		t.Errorf("the two differ in %+v, %v", check, err)
	}
}

func mustRelease(t *testing.T, folder string) manifests.Release {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, manifests.ReleaseFile))
	var release manifests.Release
	if err := errors.Join(err, json.Unmarshal(data, &release)); err != nil {
		t.Fatal(err)
	}
	return release
}

// bare is a build of packages and images alone, which fails for want of a
// kernel once it has read them.
func bare(t *testing.T, w *resolvetest.World) Config {
	t.Helper()
	c := config(t, sources(w))
	c.Recipe.Sources = c.Recipe.Sources[1:]
	return locked(t, c, t.TempDir())
}

func TestServersThatMisbehave(t *testing.T) {
	w := resolvetest.Open(t)
	fill(t, w)
	if _, err := Build(t.Context(), bare(t, w)); err == nil || !strings.Contains(err.Error(), "kernel") {
		t.Fatalf("a build without a kernel: %v", err)
	}
	layer := func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/blobs/")
	}
	deb := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".deb") }
	rpm := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".rpm") }
	status := func(code int) resolvetest.Manners {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(code)
		}
	}
	other := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.Write([]byte("something else")) }
	flipped := func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		r.Header.Del("Range")
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		body[len(body)-1] ^= 1
		w.Write(body)
	}
	silent := func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }
	endless := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}
	for _, test := range []struct {
		name  string
		what  func(*http.Request) bool
		how   resolvetest.Manners
		times int64 // 0: always
		want  string
	}{
		{"layer, 500", layer, status(500), 0, "/app"},
		{"layer, 429", layer, status(429), 0, "/app"},
		{"layer, busy twice", layer, status(429), 2, "kernel"},
		{"layer, another blob", layer, other, 0, "/app"},
		{"layer, a bit flipped", layer, flipped, 0, "/app"},
		{"layer, no answer", layer, silent, 0, "/app"},
		{"layer, without end", layer, endless, 0, "/app"},
		{"deb, 500", deb, status(500), 0, ".deb"},
		{"deb, 429", deb, status(429), 0, ".deb"},
		{"deb, busy twice", deb, status(429), 2, "kernel"},
		{"deb, another file", deb, other, 0, ".deb"},
		{"deb, a bit flipped", deb, flipped, 0, ".deb"},
		{"deb, no answer", deb, silent, 0, ".deb"},
		{"deb, without end", deb, endless, 0, ".deb"},
		{"deb, gone", deb, status(404), 0, ".deb"},
		{"rpm, another file", rpm, other, 0, ".rpm"},
		{"rpm, a bit flipped", rpm, flipped, 0, ".rpm"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.Misbehave(nil)
			c := bare(t, w)
			var times atomic.Int64
			w.Misbehave(func(out http.ResponseWriter, r *http.Request, server http.Handler) {
				if test.what(r) && (test.times == 0 || times.Add(1) <= test.times) {
					test.how(out, r, server)
					return
				}
				server.ServeHTTP(out, r)
			})
			_, err := Build(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v: want one that names %s", err, test.want)
			}
			if left, _ := os.ReadDir(filepath.Dir(c.Output)); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
