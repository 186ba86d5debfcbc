package stick_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/stick"
	"github.com/proa-os/proa/manifests"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var artifact = bytes.Repeat([]byte("0123456789"), 1000)

// contents are a repository's files, one with a name that is too long for the
// fields of a header.
var contents = map[string][]byte{
	"metadata/timestamp.json":                  []byte(`{"it":"is"}`),
	"artifacts/ab/" + strings.Repeat("ab", 32): artifact,
	"targets/releases/a-product-with-a-name/amd64/1.0.0/" + strings.Repeat("cd", 32) + "." + strings.Repeat("x", 25) + ".json": []byte("{}"),
	"targets/empty": nil,
}

func folder(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a b%20ü")
	for name, content := range contents {
		check(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	return dir
}

// tars are tar files of the same files, made by GNU tar in its formats that are
// understood.
func tars(t testing.TB) map[string]string {
	t.Helper()
	made := map[string]string{}
	for name, args := range map[string][]string{
		"gnu":         {"--format=gnu", "."},
		"gnu, names":  {"--format=gnu", "metadata", "artifacts", "targets"},
		"ustar":       {"--format=ustar", "."},
		"ustar, more": {"--format=ustar", "--blocking-factor=1", "targets", "metadata", "artifacts"},
	} {
		made[name] = filepath.Join(t.TempDir(), "x.tar")
		out, err := exec.Command("tar", append([]string{"-C", folder(t), "-cf", made[name]}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("tar: %v\n%s", err, out)
		}
	}
	return made
}

func open(t testing.TB, path string) *stick.Stick {
	t.Helper()
	s, err := stick.Open(path)
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// client is one that has the stick for its repository.
func client(t testing.TB, s *stick.Stick) *fetch.Client {
	t.Helper()
	c, err := fetch.New(fetch.Config{Base: s.URL(), Schemes: map[string]func(http.RoundTripper) http.RoundTripper{
		"file": func(http.RoundTripper) http.RoundTripper { return s },
	}})
	check(t, err)
	return c
}

func TestAFolderAndATarFileReadAlike(t *testing.T) {
	paths := tars(t)
	paths["folder"] = folder(t)
	for kind, path := range paths {
		t.Run(kind, func(t *testing.T) {
			s := open(t, path)
			c := client(t, s)
			for name, want := range contents {
				f, err := s.Open(name)
				check(t, err)
				got, err := io.ReadAll(f)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s is %q, %v", name, got, err)
				}
				check(t, f.Close())
				if len(want) == 0 {
					continue
				}
				target := filepath.Join(t.TempDir(), "got")
				check(t, c.File(t.Context(), name, manifests.FetchFile{Size: int64(len(want)), Digest: manifests.DigestOf(want)}, target))
			}
			name := "artifacts/ab/" + strings.Repeat("ab", 32)
			for _, span := range [][2]int64{{0, 1}, {0, 10000}, {9, 4242}, {9999, 10000}} {
				got, err := io.ReadAll(c.Range(t.Context(), name, int64(len(artifact)), span[0], span[1]))
				if err != nil || !bytes.Equal(got, artifact[span[0]:span[1]]) {
					t.Errorf("range %v: %d bytes, %v", span, len(got), err)
				}
			}
			for _, none := range []string{"metadata/2.root.json", "metadata", "../etc/passwd", "/etc/passwd", "", ".", "metadata/./timestamp.json"} {
				if _, err := s.Open(none); err == nil {
					t.Errorf("%q is there", none)
				}
			}
		})
	}
}

func TestRangesAreAnsweredAsAWebServerDoes(t *testing.T) {
	s := open(t, folder(t))
	web := &http.Client{Transport: s}
	dir := http.FileServer(http.Dir(strings.TrimPrefix(mustURL(t, s), "file://")))
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		for _, span := range []string{"", "bytes=0-0", "bytes=5-", "bytes=9990-99999", "bytes=10000-", "bytes=10000-10001", "bytes=3-2", "bytes=x", "items=0-1", "bytes=18446744073709551615-"} {
			request, err := http.NewRequest(method, s.URL()+"/artifacts/ab/"+strings.Repeat("ab", 32), nil)
			check(t, err)
			request.Header.Set("Range", span)
			got, err := web.Do(request)
			check(t, err)
			body, err := io.ReadAll(got.Body)
			check(t, err)
			want := &recorder{header: http.Header{}, status: 200}
			request.URL.Path = "/artifacts/ab/" + strings.Repeat("ab", 32)
			dir.ServeHTTP(want, request)
			if method == http.MethodPost {
				want = &recorder{header: http.Header{}, status: http.StatusMethodNotAllowed}
			}
			// What is no range may be ignored (RFC 9110, section 14.2) or refused.
			if want.status == 416 && got.StatusCode == 200 && got.ContentLength == int64(len(artifact)) {
				continue
			}
			if got.StatusCode != want.status || want.status < 400 && !bytes.Equal(body, want.body.Bytes()) ||
				got.Header.Get("Content-Range") != want.header.Get("Content-Range") {
				t.Errorf("%s %q: %d, %d bytes, %q: want %d, %d bytes, %q", method, span, got.StatusCode, len(body), got.Header.Get("Content-Range"),
					want.status, want.body.Len(), want.header.Get("Content-Range"))
			}
		}
	}
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

func mustURL(t *testing.T, s *stick.Stick) string {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, s.URL(), nil)
	check(t, err)
	return "file://" + request.URL.Path
}

func TestAFileThatChangesInMidDownloadIsNotSpliced(t *testing.T) {
	dir := folder(t)
	s := open(t, dir)
	ask := func(condition string) *http.Response {
		request, err := http.NewRequest(http.MethodGet, s.URL()+"/metadata/timestamp.json", nil)
		check(t, err)
		request.Header.Set("Range", "bytes=2-3")
		request.Header.Set("If-Range", condition)
		response, err := s.RoundTrip(request)
		check(t, err)
		check(t, response.Body.Close())
		return response
	}
	tag := ask("").Header.Get("ETag")
	if got := ask(tag).StatusCode; got != http.StatusPartialContent {
		t.Errorf("the same file: %d", got)
	}
	check(t, os.WriteFile(filepath.Join(dir, "metadata/timestamp.json"), []byte(`{"it":"is another"}`), 0o644))
	if got := ask(tag).StatusCode; got != http.StatusOK {
		t.Errorf("another file: %d", got)
	}
}

func TestWhatIsNoRepositoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.tar")
	check(t, os.WriteFile(empty, make([]byte, 10240), 0o644))
	fifo := filepath.Join(dir, "fifo")
	check(t, syscall.Mkfifo(fifo, 0o644))
	for _, path := range []string{dir, empty} {
		if _, err := stick.Open(path); !errors.Is(err, stick.ErrNotRepository) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{fifo, "/dev/null", "/dev/zero", filepath.Join(dir, "missing")} {
		if _, err := stick.Open(path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

func TestNothingOutsideAFolderIsRead(t *testing.T) {
	dir := folder(t)
	secret := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(secret, []byte("secret"), 0o644))
	check(t, os.Symlink(secret, filepath.Join(dir, "metadata/out.json")))
	check(t, os.Symlink("timestamp.json", filepath.Join(dir, "metadata/in.json")))
	check(t, syscall.Mkfifo(filepath.Join(dir, "metadata/fifo.json"), 0o644))
	s := open(t, dir)
	for name, want := range map[string]bool{"metadata/out.json": false, "metadata/fifo.json": false, "metadata/in.json": true} {
		if f, err := s.Open(name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		} else if err == nil {
			f.Close()
		}
	}
}

// archive is a tar file by the standard library's writer.
func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		check(t, w.WriteHeader(&h))
		_, err := w.Write(make([]byte, h.Size))
		check(t, err)
	}
	check(t, w.Close())
	return out.Bytes()
}

var stamp = tar.Header{Name: "metadata/timestamp.json", Size: 3, Mode: 0o644, Typeflag: tar.TypeReg}

func TestHostileTarFilesAreRefused(t *testing.T) {
	whole := archive(t, stamp)
	damaged := bytes.Clone(whole)
	damaged[5] ^= 1
	huge := archive(t, stamp, tar.Header{Name: "x", Size: 600, Mode: 0o644, Format: tar.FormatGNU})
	for size, want := range map[string]string{"77777777777": "has 8589934591 bytes at", "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff": "over 2^62", "-1": "octal"} {
		refused(t, "size "+size, patched(huge, 1024, 124, size), want)
	}
	refused(t, "a sum that is wrong", damaged, "checksum")
	refused(t, "no end", whole[:1024], "copied in full")
	refused(t, "cut in a header", whole[:1300], "copied in full")
	refused(t, "cut in a file", whole[:514], "copied in full")
	refused(t, "nothing", nil, "copied in full")
	refused(t, "twice", archive(t, stamp, stamp), "twice")
	refused(t, "twice, by another name", archive(t, stamp, tar.Header{Name: "./metadata/timestamp.json", Size: 3, Mode: 0o644}), "twice")
	refused(t, "PAX", archive(t, stamp, tar.Header{Name: "metadata/é.json", Format: tar.FormatPAX, Mode: 0o644}), `type 'x'`)
	refused(t, "PAX for all", archive(t, stamp, tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}), `type 'g'`)
	refused(t, "long name of nothing", patched(archive(t, stamp, tar.Header{Name: strings.Repeat("x", 300), Format: tar.FormatGNU, Mode: 0o644}), 1024, 124, "00000000000"), "name of 0 bytes")
	refused(t, "long name of a lot", archive(t, stamp, tar.Header{Name: strings.Repeat("x", 2000), Format: tar.FormatGNU, Mode: 0o644}), "name of 2001 bytes")
	refused(t, "a folder with bytes", patched(archive(t, stamp, tar.Header{Name: "x", Size: 600, Mode: 0o644}), 1024, 156, "5"), "folder")
	for _, kind := range []byte{tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo} {
		refused(t, fmt.Sprintf("type %c", kind), archive(t, stamp, tar.Header{Name: "metadata/2.root.json", Linkname: "/etc/shadow", Typeflag: kind}), "type")
	}
	for _, name := range []string{"../x", "/etc/passwd", "a/../b", "a//b", "./", "a/./b", "."} {
		refused(t, "name "+name, patched(archive(t, stamp, tar.Header{Name: "q", Mode: 0o644}), 1024, 0, name+"\x00"), "name")
	}
	many := make([]tar.Header, 100_001)
	many[0] = stamp
	for i := range many[1:] {
		many[i+1] = tar.Header{Name: fmt.Sprintf("a/%d", i), Mode: 0o644}
	}
	refused(t, "too many", archive(t, many...), "100000 entries")
}

// patched is an archive in which a field of the header at an offset is another,
// and the sum right again.
func patched(whole []byte, at, field int, value string) []byte {
	out := bytes.Clone(whole)
	copy(out[at+field:], value)
	sum := 8 * int(' ')
	for i, b := range out[at : at+512] {
		if i < 148 || i >= 156 {
			sum += int(b)
		}
	}
	copy(out[at+148:], fmt.Sprintf("%06o\x00 ", sum))
	return out
}

func refused(t *testing.T, what string, content []byte, want string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tar")
	check(t, os.WriteFile(path, content, 0o644))
	s, err := stick.Open(path)
	if err == nil {
		s.Close()
		t.Errorf("%s: no error", what)
	} else if !strings.Contains(err.Error(), want) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v: want %q", what, err, want)
	}
}

func TestLargeFilesAreFoundWhereTheyAre(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.tar")
	f, err := os.Create(path)
	check(t, err)
	const size = 9 << 30
	w := tar.NewWriter(f)
	check(t, w.WriteHeader(&tar.Header{Name: "artifacts/aa/x", Size: size, Mode: 0o644, Format: tar.FormatGNU}))
	check(t, f.Truncate(512+size))
	_, err = f.Seek(0, io.SeekEnd)
	check(t, err)
	_, err = f.Write(archive(t, stamp))
	check(t, errors.Join(err, f.Close()))
	got, err := open(t, path).Open("artifacts/aa/x")
	check(t, err)
	if got.Size() != size {
		t.Errorf("%d bytes", got.Size())
	}
}

// FuzzTar compares with the standard library's reader, which is more tolerant:
// what is taken here is the same there.
func FuzzTar(f *testing.F) {
	f.Add(archive(f, stamp))
	f.Add(archive(f, stamp, tar.Header{Name: strings.Repeat("x", 300), Format: tar.FormatGNU, Mode: 0o644}, tar.Header{Name: "a/", Typeflag: tar.TypeDir, Mode: 0o755}))
	f.Add(archive(f, stamp, tar.Header{Name: strings.Repeat("x", 80) + "/" + strings.Repeat("y", 90), Size: 600, Format: tar.FormatUSTAR, Mode: 0o644}))
	f.Fuzz(func(t *testing.T, content []byte) {
		files, err := stick.Index(content)
		if err != nil {
			return
		}
		r := tar.NewReader(bytes.NewReader(content))
		for {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return // stricter in fields that mean nothing here
			}
			if h.Typeflag != tar.TypeReg {
				continue
			}
			want, err := io.ReadAll(r)
			got, known := files[strings.TrimPrefix(h.Name, "./")]
			if err != nil || !known || !bytes.Equal(got, want) {
				t.Errorf("%q: %d bytes, known %t: want %d, %v", h.Name, len(got), known, len(want), err)
			}
			delete(files, strings.TrimPrefix(h.Name, "./"))
		}
		if len(files) > 0 {
			t.Errorf("%d files that are not there", len(files))
		}
	})
}
