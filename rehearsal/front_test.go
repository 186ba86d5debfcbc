package rehearsal

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// newTestFront serves a folder with one artifact, one timestamp and a key.
func newTestFront(t *testing.T) (f *front, url string) {
	t.Helper()
	dir := t.TempDir()
	for name, size := range map[string]int{"artifacts/aa/aaaa": 200 << 10, "metadata/timestamp.json": 10, "keys/root.pem": 10} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := newFront(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f, "http://127.0.0.1:" + strconv.Itoa(f.port)
}

// get asks over a connection of its own, as who asks is known by the connection.
func get(t *testing.T, url string) (status int, size int64) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	n, _ := io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, n
}

func TestAMachineIsKnownByItsProcess(t *testing.T) {
	t.Parallel()
	f, url := newTestFront(t)
	if status, _ := get(t, url+"/metadata/timestamp.json"); status != http.StatusForbidden {
		t.Errorf("a stranger gets %d", status)
	}
	other := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	f.welcome(other.Process.Pid, &visits{})
	if status, _ := get(t, url+healthPath); status != http.StatusForbidden {
		t.Errorf("a stranger gets %d beside a machine", status)
	}
	mine := &visits{}
	f.welcome(os.Getpid(), mine)
	for path, want := range map[string]int{
		"/metadata/timestamp.json": http.StatusOK, "/artifacts/aa/aaaa": http.StatusOK, healthPath: http.StatusNoContent,
		"/keys/root.pem": http.StatusNotFound, "/metadata/2.root.json": http.StatusNotFound,
	} {
		if status, _ := get(t, url+path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	// A piece is counted when it was sent, which may be after it came.
	for range 5000 {
		if mine.seen().fetched >= 200<<10 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if seen := mine.seen(); seen != (counts{metadata: 1, asked: 1, fetched: 200 << 10}) {
		t.Errorf("seen %+v", seen)
	}
	f.forget(os.Getpid())
	if status, _ := get(t, url+healthPath); status != http.StatusForbidden {
		t.Errorf("a machine that is off gets %d", status)
	}
}

func TestHealthIsWhatTheSceneWants(t *testing.T) {
	t.Parallel()
	f, url := newTestFront(t)
	f.welcome(os.Getpid(), &visits{answers: answerIll})
	if status, _ := get(t, url+healthPath); status != http.StatusServiceUnavailable {
		t.Errorf("ill: %d", status)
	}
	silent := &visits{answers: answerSilent}
	f.welcome(os.Getpid(), silent)
	if n, err := getUntil(t, url+healthPath, func() bool { return silent.seen().asked == 1 }); err == nil {
		t.Errorf("silent: %d bytes", n)
	}
}

// getUntil asks, goes away as soon as something is the case, and tells how much had come.
func getUntil(t *testing.T, url string, is func() bool) (int64, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil && !is() {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(question)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	return io.Copy(io.Discard, answer.Body)
}

func TestADownloadIsHeldFromWhenTheMachineWrites(t *testing.T) {
	t.Parallel()
	f, url := newTestFront(t)
	pieces := 0
	v := &visits{hold: func() bool { pieces++; return pieces > 3 }}
	f.welcome(os.Getpid(), v)
	n, err := getUntil(t, url+"/artifacts/aa/aaaa", func() bool { return v.seen().held })
	if err == nil || n >= 200<<10 {
		t.Errorf("%d bytes came, %v", n, err)
	}
	if seen := v.seen(); !seen.held || seen.fetched != 3*16<<10 {
		t.Errorf("seen %+v", seen)
	}
}
