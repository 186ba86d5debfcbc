package repository

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing/forge"
)

// tufJS runs the client of the TUF project's JavaScript implementation, and gives the lines
// that it prints.
func tufJS(t *testing.T, cfg Config, targets ...string) ([]string, error) {
	t.Helper()
	if _, err := os.Stat("../testdata/tuf-js/node_modules"); err != nil {
		t.Fatalf("%v: run testdata/setup", err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(cfg.Dir)))
	defer server.Close()
	folder := t.TempDir()
	root := must[[]byte](t)(os.ReadFile(filepath.Join(cfg.Dir, "metadata/1.root.json")))
	check(t, os.WriteFile(filepath.Join(folder, "root.json"), root, 0o644))
	cmd := exec.Command("node", append([]string{"../testdata/tuf-js/client.mjs", server.URL, folder}, targets...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), err
}

func TestAnotherTUFClientFindsTargetsInBins(t *testing.T) {
	cfg, keys := binnedRepository(t)
	// The client has the real clock.
	cfg.Now = time.Now
	must[Refreshed](t)(Refresh(t.Context(), cfg))
	release := manifests.ReleaseTarget("demo", manifests.AMD64, "1.1.0")
	names := []string{manifests.ChannelTarget("demo", manifests.AMD64, "stable"), manifests.NoticeTarget("demo", manifests.AMD64, "1.1.0")}
	want := []string{manifests.DigestOf(must[[]byte](t)(os.ReadFile(pathOf(t, cfg, names[0])))).Hex(), "-"}
	for n := range 94 {
		names = append(names, fmt.Sprintf("releases/demo/amd64/1.0.0/more-%d.json", n))
		want = append(want, manifests.DigestOf([]byte(fmt.Sprint(n))).Hex())
	}
	got, err := tufJS(t, cfg, names...)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("it reads %q, %v", got, err)
	}
	if _, err := tufJS(t, cfg, release); err != nil {
		t.Error(err)
	}
	// It does check: what it refuses is what a client of ours refuses.
	bin := forge.Bin(release)
	r := forge.Open(t, cfg.Dir, keys)
	r.PutFile(bin, r.Version(bin)+1, forge.Sign(r.Next(bin), forge.NewKey()))
	if got, err := tufJS(t, cfg, release); err == nil || !strings.Contains(err.Error(), bin) {
		t.Errorf("it reads %q, %v out of a bin that is signed by nobody", got, err)
	}
}
