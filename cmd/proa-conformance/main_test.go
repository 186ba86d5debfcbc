package main

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/proa-os/proa/signing/forge"
	"github.com/proa-os/proa/updater/testhost"
)

// The tests run this binary again, as the program.
const programVariable = "PROA_TEST_CONFORMANCE"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// suite is a repository, served as a suite of tests serves one, and a client.
type suite struct {
	t        *testing.T
	owner    *testhost.Repository
	server   *httptest.Server
	metadata string // the client's folders
	targets  string

	mu    sync.Mutex
	asked []string // the paths of requests
}

const (
	name    = "path/to/a/file.txt"
	content = "what the target holds"
)

func newSuite(t *testing.T) *suite {
	s := &suite{t: t, owner: testhost.NewRepository(t), metadata: filepath.Join(t.TempDir(), "metadata"), targets: t.TempDir()}
	s.owner.SetTarget(t, name, []byte(content))
	files := http.StripPrefix("/a test", http.FileServer(http.Dir(s.owner.Dir)))
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, strings.TrimPrefix(r.URL.Path, "/a test/"))
		s.mu.Unlock()
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.server.Close)
	return s
}

// run runs the client, after the words of before, and demands its exit code. It
// returns what it said, and the requests that it made.
func (s *suite) run(code int, before []string, args ...string) (said string, asked []string) {
	s.t.Helper()
	s.asked = nil
	words := append(append(slices.Clone(before), os.Args[0]), args...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), programVariable+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		s.t.Fatalf("%q exits with %d: want %d\n%s", args, got, code, out)
	}
	if lines := bytes.Count(out, []byte("\n")); lines > 1 || (lines == 1) != (code == 1) {
		s.t.Errorf("%q says %d lines and exits with %d:\n%s", args, lines, code, out)
	}
	return string(out), s.asked
}

func (s *suite) init(code int, root []byte) (asked []string) {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "root.json")
	check(s.t, os.WriteFile(path, root, 0o600))
	_, asked = s.run(code, nil, "--metadata-dir", s.metadata, "init", path)
	return asked
}

func (s *suite) refresh(code int, before ...string) (said string, asked []string) {
	s.t.Helper()
	return s.run(code, before, "--metadata-url", s.server.URL+"/a%20test/metadata/", "--metadata-dir", s.metadata, "refresh")
}

func (s *suite) download(code int, target string) (said string, asked []string) {
	s.t.Helper()
	return s.run(code, nil, "--metadata-url", s.server.URL+"/a%20test/metadata", "--metadata-dir", s.metadata, "--target-name", target,
		"--target-dir", s.targets, "--target-base-url", s.server.URL+"/a%20test/targets", "download")
}

// trusted is the metadata that the client keeps, by file.
func (s *suite) trusted() map[string]string {
	s.t.Helper()
	files := map[string]string{}
	entries, err := filepath.Glob(s.metadata + "/*.json")
	check(s.t, err)
	for _, entry := range entries {
		data, err := os.ReadFile(entry)
		check(s.t, err)
		files[filepath.Base(entry)] = string(data)
	}
	return files
}

// wantTrusted demands that the client trusts those files of the repository, and no
// others.
func (s *suite) wantTrusted(files map[string]string) {
	s.t.Helper()
	want := map[string]string{}
	for kept, published := range files {
		data, err := os.ReadFile(filepath.Join(s.owner.Dir, "metadata", published))
		check(s.t, err)
		want[kept] = string(data)
	}
	if got := s.trusted(); !maps.Equal(got, want) {
		s.t.Errorf("the client trusts %v: want %v", slices.Sorted(maps.Keys(got)), files)
	}
}

func (s *suite) wantDownloaded(target, want string) {
	s.t.Helper()
	if got, err := os.ReadFile(filepath.Join(s.targets, target)); string(got) != want || (want == "") != os.IsNotExist(err) {
		s.t.Errorf("%s holds %q: want %q", target, got, want)
	}
}

func TestInitRefreshAndDownload(t *testing.T) {
	s := newSuite(t)
	s.refresh(1)
	s.init(1, []byte("{}"))
	s.wantTrusted(nil)

	if asked := s.init(0, s.owner.Root(t)); asked != nil {
		t.Errorf("init asks for %q", asked)
	}
	s.wantTrusted(map[string]string{"root.json": "1.root.json"})

	_, asked := s.refresh(0)
	if want := []string{"metadata/2.root.json", "metadata/timestamp.json", "metadata/2.snapshot.json", "metadata/2.targets.json"}; !slices.Equal(asked, want) {
		t.Errorf("refresh asks for %q: want %q", asked, want)
	}
	second := map[string]string{"root.json": "1.root.json", "timestamp.json": "timestamp.json", "snapshot.json": "2.snapshot.json", "targets.json": "2.targets.json"}
	s.wantTrusted(second)

	if _, asked = s.download(0, name); len(asked) != 3 {
		t.Errorf("download asks for %q: want 3 files", asked)
	}
	s.wantDownloaded(name, content)
	if _, asked = s.download(0, name); len(asked) != 2 {
		t.Errorf("download of what is there asks for %q: want 2 files", asked)
	}

	s.owner.SetTarget(t, name, []byte("something new"))
	s.download(0, name)
	s.wantDownloaded(name, "something new")
	s.wantTrusted(map[string]string{"root.json": "1.root.json", "timestamp.json": "timestamp.json", "snapshot.json": "3.snapshot.json", "targets.json": "3.targets.json"})
	for _, missing := range []string{"no/such/target", "../escape", "a target"} {
		s.download(1, missing)
	}
}

func TestWhatNobodySignedIsNotDownloaded(t *testing.T) {
	s := newSuite(t)
	s.init(0, s.owner.Root(t))
	s.download(0, name)

	files, err := filepath.Glob(filepath.Join(s.owner.Dir, "targets/path/to/a/*"))
	check(t, err)
	for _, file := range files {
		check(t, os.WriteFile(file, []byte(strings.ToUpper(content)), 0o600))
	}
	s.download(0, name) // it has the right one
	s.wantDownloaded(name, content)
	check(t, os.Remove(filepath.Join(s.targets, name)))
	s.download(1, name)
	s.wantDownloaded(name, "")
}

func TestRefusedMetadataIsNotTrusted(t *testing.T) {
	for attack, mount := range map[string]func(*forge.Repository){
		"not signed": func(r *forge.Repository) { r.Write("metadata/timestamp.json", forge.Sign(r.Next(forge.Timestamp))) },
		"rollback": func(r *forge.Repository) {
			older := r.Current(forge.Timestamp)
			older["version"] = 1
			r.Write("metadata/timestamp.json", r.Sign(forge.Timestamp, older))
		},
		"not JSON": func(r *forge.Repository) { r.Write("metadata/timestamp.json", []byte("{")) },
	} {
		t.Run(attack, func(t *testing.T) {
			s := newSuite(t)
			s.init(0, s.owner.Root(t))
			s.refresh(0)
			before := s.trusted()
			mount(forge.Open(t, s.owner.Dir, s.owner.Keys))
			s.refresh(1)
			s.download(1, name)
			if !maps.Equal(s.trusted(), before) {
				t.Error("what the client trusts has changed")
			}
		})
	}
}

func TestTheTimeIsThatOfDate(t *testing.T) {
	s := newSuite(t)
	s.init(0, s.owner.Root(t))
	s.refresh(0)
	if said, _ := s.refresh(1, "faketime", "-f", "+60d"); !strings.Contains(said, "expired") {
		t.Errorf("in 60 days: %s", said)
	}
	if said, _ := s.refresh(1, "faketime", "-f", "-1d"); !strings.Contains(said, "clock is behind") {
		t.Errorf("yesterday: %s", said)
	}
	s.refresh(0, "faketime", "-f", "+7d")
}

func TestWhatIsNoCommandIsRefused(t *testing.T) {
	s := newSuite(t)
	for _, args := range [][]string{
		{}, {"refresh"}, {"--metadata-dir", s.metadata}, {"--metadata-dir", s.metadata, "update"},
		{"--metadata-dir", s.metadata, "init"}, {"--metadata-dir", s.metadata, "init", "a", "b"}, {"--metadata-dir", s.metadata, "init", "/dev/zero"},
	} {
		s.run(1, nil, args...)
	}
	s.init(0, s.owner.Root(t))
	for _, url := range []string{"", "metadata", "ftp://127.0.0.1/", "http://127.0.0.1:1/"} {
		s.run(1, nil, "--metadata-dir", s.metadata, "--metadata-url", url, "refresh")
		s.run(1, nil, "--metadata-dir", s.metadata, "--metadata-url", s.server.URL+"/a%20test/metadata", "--target-name", name, "--target-dir", s.targets, "--target-base-url", url, "download")
	}
	s.wantDownloaded(name, "")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
