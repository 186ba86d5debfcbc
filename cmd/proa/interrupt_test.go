package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/resolve/resolvetest"
)

var signals = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}

// TestCtrlCLeavesNothing interrupts a build while it waits for its standard
// input, and one while it works.
func TestCtrlCLeavesNothing(t *testing.T) {
	t.Parallel()
	programs, err := fixtures()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(programs, "appliance.tar")
	for name, source := range map[string]string{"waiting for input": "-", "working": root} {
		for _, signal := range signals {
			t.Run(name+", "+signal.String(), func(t *testing.T) {
				p := start(t, folderOf(t, "platform: qemu\nvar: 4GiB\nsources: [{tar: "+source+"}]\n"), "build", ".", "-o", "out", "--version", "1", "--init", filepath.Join(programs, "proa-init"))
				if source == "-" {
					waitForWork(t, p.Dir)
				} else if line, err := p.stderr.ReadString('\n'); err != nil { // the first step is done
					t.Fatalf("%v: %s", err, line)
				}
				p.interrupt(t, signal)
				p.mustLeave(t, "recipe.yaml")
			})
		}
	}
}

// TestCtrlCDuringADownloadLeavesNothing interrupts commands while servers keep
// them waiting.
func TestCtrlCDuringADownloadLeavesNothing(t *testing.T) {
	t.Parallel()
	programs, err := fixtures()
	if err != nil {
		t.Fatal(err)
	}
	w := resolvetest.Open(t)
	w.AddDeb(t, resolvetest.Package{Name: "tool", Version: "1"})
	w.Push(t, "app", "1", nil)
	deb := "platform: qemu\nsources: [{deb: {repositories: [{url: " + w.URL + "/debian, suites: [stable], signedBy: [" + w.Key + "]}], packages: [tool]}}]\n"
	image := "platform: qemu\nsources: [{oci: " + w.Registry + "/app:1}]\n"
	build := []string{"build", ".", "-o", "out", "--version", "1", "--init", filepath.Join(programs, "proa-init")}
	for _, test := range []struct {
		name, recipe, at string
		args, left       []string
	}{
		{"lock, packages", deb, "/InRelease", []string{"lock"}, []string{"recipe.yaml"}},
		{"lock, image", image, "/manifests/", []string{"lock"}, []string{"recipe.yaml"}},
		{"build, package", deb, ".deb", build, []string{"proa.lock", "recipe.yaml"}},
		{"build, layer", image, "/blobs/", build, []string{"proa.lock", "recipe.yaml"}},
	} {
		for _, signal := range signals {
			t.Run(test.name+", "+signal.String(), func(t *testing.T) {
				waiting := make(chan struct{}, 100)
				hold := func(out http.ResponseWriter, r *http.Request, server http.Handler) {
					if !strings.Contains(r.URL.Path, test.at) {
						server.ServeHTTP(out, r)
						return
					}
					waiting <- struct{}{}
					<-r.Context().Done()
				}
				folder := folderOf(t, test.recipe)
				if test.args[0] == "build" {
					w.Misbehave(nil)
					cmd := exec.Command("proa", "lock", folder)
					cmd.Env = append(os.Environ(), "PROA_CACHE="+t.TempDir())
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
				}
				w.Misbehave(hold)
				p := start(t, folder, test.args...)
				select {
				case <-waiting:
				case <-time.After(time.Minute):
					t.Fatal("nothing was asked for")
				}
				p.interrupt(t, signal)
				p.mustLeave(t, test.left...)
			})
		}
	}
}

// process is proa at work in a folder that holds a recipe.
type process struct {
	*exec.Cmd
	stderr *bufio.Reader
}

// folderOf is a new folder with a recipe.
func folderOf(t *testing.T, recipe string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "recipe.yaml"), []byte("product: test\n"+recipe), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

func start(t *testing.T, folder string, args ...string) process {
	t.Helper()
	cmd := exec.Command("proa", args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "PROA_CACHE="+t.TempDir())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return process{cmd, bufio.NewReader(stderr)}
}

// interrupt ends the process and checks what it says.
func (p process) interrupt(t *testing.T, signal syscall.Signal) {
	t.Helper()
	p.Process.Signal(signal)
	rest, _ := io.ReadAll(p.stderr)
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("ended with %v, want exit code 130", err)
	}
	if !strings.HasSuffix(string(rest), "error: interrupted\n") {
		t.Errorf("it said %q", rest)
	}
}

func (p process) mustLeave(t *testing.T, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if !slices.Equal(left, want) {
		t.Errorf("left behind: %q, want %q", left, want)
	}
}

// waitForWork waits until the build has made its working folder.
func waitForWork(t *testing.T, folder string) {
	t.Helper()
	for range 200 {
		if found, _ := filepath.Glob(filepath.Join(folder, ".out.building-*")); len(found) > 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the build does not begin")
}
