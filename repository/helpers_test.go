package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func makeKeys(t testing.TB, folder string) signing.Keys {
	t.Helper()
	for _, role := range signing.Roles() {
		_, err := signing.CreateKeyFile(filepath.Join(folder, signing.KeyFileName(role, 1)))
		check(t, err)
	}
	return must[signing.Keys](t)(signing.LoadKeys(folder))
}

func makeRepository(t testing.TB) Config {
	t.Helper()
	cfg := Config{
		Dir:  filepath.Join(t.TempDir(), "repo"),
		Keys: makeKeys(t, t.TempDir()),
		Now:  func() time.Time { return start },
	}
	check(t, Init(context.Background(), InitConfig{Config: cfg, RootThreshold: 1}))
	return cfg
}

// fakeImage is size bytes, half of them hard to compress.
func fakeImage(seed uint64, size int) []byte {
	image := make([]byte, size)
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range image {
		if i/1000%2 == 0 {
			image[i] = byte(random.Uint32())
		} else {
			image[i] = byte(i / 100)
		}
	}
	return image
}

// makeRelease writes a release folder as a build would. The root hash is
// veritysetup's.
func makeRelease(t testing.TB, product, version string, image []byte) string {
	t.Helper()
	dir := t.TempDir()
	salt := sha256.Sum256([]byte("salt of " + product))
	write := func(name string, content []byte) manifests.Artifact {
		check(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
		return manifests.Artifact{Name: name, Size: int64(len(content)), Digest: manifests.DigestOf(content)}
	}
	release := manifests.Release{
		Schema:  1,
		Product: product,
		Version: manifests.Version(version),
		Arch:    manifests.AMD64,
		Epoch:   1_700_000_000,
		Artifacts: []manifests.Artifact{
			write(manifests.DiskFile, []byte("a disk of "+version)),
			write(manifests.LayoutFile, []byte("a layout")),
			write(manifests.LoaderFile, []byte("a loader")),
			write(manifests.RootFile, image),
			{},
			write(manifests.UKIFile, []byte("a kernel for "+version)),
		},
	}
	hash := veritysetup(t, filepath.Join(dir, manifests.RootFile), filepath.Join(dir, manifests.VerityFile), salt[:])
	tree := must[[]byte](t)(os.ReadFile(filepath.Join(dir, manifests.VerityFile)))
	release.Artifacts[4] = write(manifests.VerityFile, tree)
	release.Root = manifests.Root{Hash: hash, Salt: salt[:], Blocks: uint64(len(image) / manifests.BlockSize)}
	writeRelease(t, dir, release)
	return dir
}

func writeRelease(t testing.TB, dir string, release manifests.Release) {
	t.Helper()
	text := must[[]byte](t)(json.MarshalIndent(release, "", "  "))
	check(t, os.WriteFile(filepath.Join(dir, manifests.ReleaseFile), append(text, '\n'), 0o644))
}

func readRelease(t testing.TB, dir string) manifests.Release {
	t.Helper()
	text := must[[]byte](t)(os.ReadFile(filepath.Join(dir, manifests.ReleaseFile)))
	return must[manifests.Release](t)(manifests.ParseRelease(text))
}

var rootHashLine = regexp.MustCompile(`Root hash:\s+([0-9a-f]{64})`)

func veritysetup(t testing.TB, data, tree string, salt []byte) manifests.HexBytes {
	t.Helper()
	tool, err := exec.LookPath("veritysetup")
	if err != nil {
		tool = "/usr/sbin/veritysetup"
	}
	out, err := exec.Command(tool, "format", "--salt", fmt.Sprintf("%x", salt), data, tree).CombinedOutput()
	if err != nil {
		t.Fatalf("veritysetup: %v\n%s", err, out)
	}
	var hash manifests.HexBytes
	check(t, hash.UnmarshalText(rootHashLine.FindSubmatch(out)[1]))
	return hash
}

func publish(t testing.TB, cfg Config, releaseDir, channel string) Published {
	t.Helper()
	return must[Published](t)(Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: releaseDir, Channel: channel}))
}

// hostSees fetches a channel and its release over HTTP as a host does, decodes
// the root image with zstd(1), and returns the version and the image.
func hostSees(t testing.TB, cfg Config, product, channel string) (manifests.Version, []byte) {
	t.Helper()
	handler := must[*FolderHandler](t)(Handler(cfg.Dir))
	defer handler.Close()
	server := httptest.NewServer(handler)
	defer server.Close()
	client := must[*signing.Client](t)(signing.OpenClient(signing.Config{
		URL:  server.URL,
		Dir:  t.TempDir(),
		Root: must[[]byte](t)(os.ReadFile(filepath.Join(cfg.Dir, "metadata/1.root.json"))),
		Now:  cfg.Now,
	}))
	ctx := context.Background()
	check(t, client.Refresh(ctx))
	fetch := func(name string) []byte {
		return must[signing.Verified](t)(client.Fetch(ctx, name)).Bytes()
	}
	c := must[manifests.Channel](t)(manifests.ParseChannel(fetch(manifests.ChannelTarget(product, manifests.AMD64, channel))))
	text := fetch(manifests.ReleaseTarget(product, manifests.AMD64, c.Version))
	release := must[manifests.Release](t)(manifests.ParseRelease(text))
	if c.Release != manifests.DigestOf(text) || release.Version != c.Version {
		t.Fatalf("channel %+v points to release %s", c, manifests.DigestOf(text))
	}
	transport := must[manifests.Transport](t)(manifests.ParseTransport(fetch(manifests.TransportTarget(product, manifests.AMD64, c.Version))))
	check(t, transport.CheckAgainst(release, c.Release))

	uki := artifact(t, cfg, transport.UKI.FetchFile)
	if want := "a kernel for " + string(c.Version); string(uki) != want {
		t.Fatalf("uki %q, want %q", uki, want)
	}
	image := zstdDecode(t, artifact(t, cfg, transport.Root))
	if got, _ := release.Artifact(manifests.RootFile); got.Digest != manifests.DigestOf(image) {
		t.Fatal("the decoded root image is not the release's")
	}
	return c.Version, image
}

func artifact(t testing.TB, cfg Config, f manifests.FetchFile) []byte {
	t.Helper()
	content := must[[]byte](t)(os.ReadFile(filepath.Join(cfg.Dir, manifests.ArtifactPath(f.Digest))))
	if int64(len(content)) != f.Size || manifests.DigestOf(content) != f.Digest {
		t.Fatalf("artifact %s is damaged", f.Digest)
	}
	return content
}

func zstdDecode(t testing.TB, encoded []byte) []byte {
	t.Helper()
	cmd := exec.Command("zstd", "-d", "-c")
	cmd.Stdin = bytes.NewReader(encoded)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zstd -d: %v: %s", err, stderr.String())
	}
	return out
}

// snapshotOf is every file under dir but the lock.
func snapshotOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	check(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == lockFile {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(content)
		return err
	}))
	return files
}

func wantNoTemps(t testing.TB, dir string) {
	t.Helper()
	for path := range snapshotOf(t, dir) {
		if strings.Contains(path, ".proa-") {
			t.Errorf("left behind: %s", path)
		}
	}
}
