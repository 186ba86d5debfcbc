package e2e

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine/debian"
	"github.com/proa-os/proa/machine/rpmrepository"
	"github.com/proa-os/proa/machine/workshop"
)

// referenceImage is the release of a reference image.
type referenceImage struct {
	t      *testing.T
	folder string // has the recipe
}

// newReferenceImage is a copy of images/name, that trusts the lab's repository,
// in a folder beside that of images/debian. changes are pairs of texts in the
// recipe.
func newReferenceImage(t *testing.T, name string, changes ...string) referenceImage {
	t.Helper()
	images := t.TempDir()
	for _, copied := range slices.Compact([]string{"debian", name}) {
		if err := os.CopyFS(filepath.Join(images, copied), os.DirFS(filepath.Join("..", "images", copied))); err != nil {
			t.Fatal(err)
		}
	}
	i := referenceImage{t, filepath.Join(images, name)}
	recipe, err := os.ReadFile(i.path("recipe.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(recipe)
	for at := 0; at < len(changes); at += 2 {
		if !strings.Contains(text, changes[at]) {
			t.Fatalf("%s: no %q in its recipe", name, changes[at])
		}
		text = strings.ReplaceAll(text, changes[at], changes[at+1])
	}
	root, err := os.ReadFile(shared.path("repo", "metadata", "root.json"))
	if err != nil {
		t.Fatal(err)
	}
	i.write("recipe.yaml", text)
	i.write("root.json", string(root))
	return i
}

func (i referenceImage) path(elem ...string) string {
	return filepath.Join(append([]string{i.folder}, elem...)...)
}

func (i referenceImage) write(name, text string) {
	i.t.Helper()
	path := i.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		i.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		i.t.Fatal(err)
	}
}

// build locks the image's inputs, builds it from the lock alone, and verifies
// the release, whose folder it returns.
func (i referenceImage) build() string {
	i.t.Helper()
	return i.buildAs(base)
}

// buildAs is build for a version.
func (i referenceImage) buildAs(version string) string {
	i.t.Helper()
	cache, err := debian.CheckoutDir()
	if err != nil {
		i.t.Fatal(err)
	}
	out := i.path("out", version)
	for _, args := range [][]string{
		{"lock", i.folder}, {"build", i.folder, "--locked", "-o", out, "--version", version}, {"verify", out},
	} {
		cmd := exec.CommandContext(i.t.Context(), shared.path("bin", "proa"), args...)
		cmd.Env = append(os.Environ(), "PROA_CACHE="+filepath.Join(cache, "cache"))
		if err := output(cmd); err != nil {
			i.t.Fatal(err)
		}
	}
	return out
}

// debianRoot is the archive that machine/debian keeps.
func debianRoot(t *testing.T) string {
	t.Helper()
	cache, err := debian.CheckoutDir()
	if err != nil {
		t.Fatal(err)
	}
	root, err := debian.Root(t.Context(), debian.Config{Dir: cache, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// startRegistry starts an image registry with the Debian root as debian:12, and
// returns its host and port.
func startRegistry(t *testing.T) string {
	t.Helper()
	layout, err := debian.Image(t.Context(), debianRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := workshop.Compile(t.Context(), dir, "builder/oci/ocitest/registry"); err != nil {
		t.Fatal(err)
	}
	registry := exec.CommandContext(t.Context(), filepath.Join(dir, "registry"))
	registry.Stderr = os.Stderr
	stdin, err := registry.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := registry.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = registry.Wait() // the end of the test's context may have ended it
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(strings.TrimSpace(address), ":")
	push := exec.CommandContext(t.Context(), "skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false",
		"oci:"+layout+":"+debian.ImageTag, "docker://localhost:"+port+"/debian:"+debian.ImageTag)
	if err := output(push); err != nil {
		t.Fatal(err)
	}
	return "localhost:" + port
}

// startRPMRepository serves a repository of RPM packages, and returns its
// folder and its URL.
func startRPMRepository(t *testing.T) (folder, url string) {
	t.Helper()
	cache, err := debian.CheckoutDir()
	if err != nil {
		t.Fatal(err)
	}
	folder, err = rpmrepository.Make(t.Context(), rpmrepository.Config{
		Debian: debianRoot(t), Appliance: shared.path("appliance.tar"), Dir: cache,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(server.Close)
	return folder, server.URL
}
